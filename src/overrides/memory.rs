//! The store that keeps nothing beyond the process.

use std::sync::Arc;

use super::{ChangeRecord, Kept, Store, Subject};

/// Keeps nothing: services and routes have their changes themselves, until the process ends.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory;

impl Store for Memory {
    fn lasts(&self) -> bool {
        false
    }

    fn holds(&self, _: &Subject, _: u64, _: Option<u64>) -> Option<bool> {
        Some(false)
    }

    fn keep(&self, _: Vec<Arc<ChangeRecord>>) -> Kept {
        Box::pin(std::future::ready(Ok(())))
    }
}
