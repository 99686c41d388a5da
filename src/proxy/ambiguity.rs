//! Requests that a backend may read differently: normalised or refused before they are routed.

use super::failure::Failure;
use crate::http::{Field, Headers, Name, Underscores, any_doubtful, check_path, is_doubtful};
use crate::net::Stream;

/// Does with the head what the listener's settings say.
pub fn resolve(front: &Stream, head: &mut Headers, grpc: bool) -> Result<(), Failure> {
    let Some(origin) = front.conn().origin() else { return Ok(()) };
    let worker = front.conn().worker();
    let path = head.get(Name::Path).unwrap_or_default();
    if let Some(path) = check_path(path, origin.ambiguity.paths).map_err(Failure::Path)? {
        let mut rewritten = worker.take_headers();
        for Field { id, name, value, indexing } in head.iter() {
            let value = if id == Name::Path { path.as_slice() } else { value };
            rewritten.push(id, name, value, indexing);
        }
        worker.recycle(std::mem::replace(head, rewritten));
    }
    match origin.ambiguity.underscores {
        Underscores::Pass => {}
        _ if !any_doubtful(head, grpc) => {}
        Underscores::Refuse => return Err(Failure::Underscores),
        Underscores::Drop => {
            worker.unshare(head);
            head.retain(|field| field.id != Name::Other || !is_doubtful(field.name, grpc));
        }
    }
    Ok(())
}
