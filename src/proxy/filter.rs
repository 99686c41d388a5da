//! Header filters of a route: rewrites of path and host, edits of fields. Not called for routes
//! without filters.

use crate::http::{Field, Headers, Name};
use crate::net::Worker;
use crate::route::{Filters, HeaderEdit};

/// Applies the filters to a request head.
pub fn request(filters: &Filters, head: &mut Headers, worker: &Worker) {
    if filters.path.is_some() || filters.host.is_some() {
        let mut rewritten = worker.take_headers();
        rewrite(filters, head, &mut rewritten);
        worker.recycle(std::mem::replace(head, rewritten));
    }
    edit(&filters.request, head, worker);
}

/// Applies the filters to a response head.
pub fn response(filters: &Filters, head: &mut Headers, worker: &Worker) {
    edit(&filters.response, head, worker);
}

/// Copies the head, rewriting path and host.
fn rewrite(filters: &Filters, head: &Headers, to: &mut Headers) {
    let host = filters.host.as_deref().map(str::as_bytes);
    if let Some(host) = host
        && head.get(Name::Authority).is_none()
        && head.get(Name::Host).is_none()
    {
        to.add(Name::Authority, host);
    }
    for Field { id, name, value, indexing } in head.iter() {
        let value = match (id, &filters.path) {
            (Name::Path, Some(rewrite)) => rewrite.apply(value),
            (Name::Authority | Name::Host, _) => [host.unwrap_or(value), b"", b""],
            _ => [value, b"", b""],
        };
        to.push_pieces(id, name, &value, indexing);
    }
}

fn edit(edits: &[HeaderEdit], head: &mut Headers, worker: &Worker) {
    if edits.is_empty() {
        return;
    }
    worker.unshare(head);
    for edit in edits {
        if let HeaderEdit::Set(name, _) | HeaderEdit::Remove(name) = edit {
            head.retain(|field| field.name != name.as_bytes());
        }
        if let HeaderEdit::Set(name, value) | HeaderEdit::Add(name, value) = edit {
            head.add_named(name.as_bytes(), value.as_bytes());
        }
    }
}
