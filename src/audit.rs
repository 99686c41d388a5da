//! The audit: a line of JSON for each change that operators ask for, and for each refusal, in a file
//! that is only ever appended to.
//!
//! A change has two lines: `intent`, before it is kept, and `done` or `failed`, before its answer. In
//! strict mode both are on the disk by then, and a change whose intent cannot be written is not made.
//! So whatever has been answered is in the file; an intent without a result was under way when the
//! process ended: the next one asks the store whether it was kept, and writes `recovered`.
//!
//! Files are written by a thread of their own, never by one that answers people or carries requests;
//! whoever waits for it waits for seconds at most. Refusals wait for nothing, and are bounded: whoever
//! floods the gateway must not fill its disk.

mod budget;
mod counters;
mod entry;
mod file;
mod inbox;
mod recovery;
mod store;
mod writer;

pub use counters::{AuditCounters, AuditFailure};
pub use entry::{Entry, Event};
pub use file::AuditError;
pub use store::AuditedStore;
pub use writer::Audit;
