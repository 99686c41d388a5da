//! The store that keeps nothing beyond the process.

use std::sync::Arc;

use super::{ChangeRecord, Kept, KeptState, Retired, Store, Subject};

/// Keeps nothing: services and routes have their changes themselves, until the process ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn lasts(&self) -> bool {
        false
    }

    fn take_kept(&self, _: &Subject) -> Option<KeptState> {
        None
    }

    fn subjects(&self) -> Vec<Subject> {
        Vec::new()
    }

    fn retired(&self) -> Retired {
        Retired::default()
    }

    fn keep(&self, _: Vec<Arc<ChangeRecord>>) -> Kept {
        Box::pin(std::future::ready(Ok(())))
    }
}
