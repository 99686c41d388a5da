//! The backends that one request was offered to.

use super::target::View;
use crate::model::EndpointId;

/// Backends that one request is offered to.
const MOST_TRIES: usize = 8;

/// The backends that a request was offered to. They are known by themselves, since a snapshot
/// that is newer has them elsewhere, or not at all.
pub struct Tried {
    endpoints: [Option<EndpointId>; MOST_TRIES],
    len: usize,
}

impl Tried {
    pub fn none() -> Tried {
        Tried { endpoints: [None; MOST_TRIES], len: 0 }
    }

    pub fn push(&mut self, endpoint: Option<EndpointId>) {
        if let Some(slot) = self.endpoints.get_mut(self.len) {
            *slot = endpoint;
            self.len += 1;
        }
    }

    pub fn is_full(&self) -> bool {
        self.len == MOST_TRIES
    }

    /// Where they are in `view`.
    pub fn indices(&self, view: &View) -> Indices {
        let mut indices = Indices::default();
        if self.len > 0 {
            for index in 0..view.pools.len() {
                if self.endpoints.contains(&view.endpoint(index)) {
                    indices.push(index);
                }
            }
        }
        indices
    }
}

/// A few indices.
#[derive(Default)]
pub struct Indices {
    indices: [usize; MOST_TRIES],
    len: usize,
}

impl Indices {
    pub fn push(&mut self, index: usize) {
        if let Some(slot) = self.indices.get_mut(self.len) {
            *slot = index;
            self.len += 1;
        }
    }

    pub fn as_slice(&self) -> &[usize] {
        self.indices.get(..self.len).unwrap_or_default()
    }
}
