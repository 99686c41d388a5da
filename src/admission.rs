//! Admission control: how many requests of a service may be in flight, and who is next when there are
//! more. No I/O and no clock.
//!
//! Rate limits of routes are here too.
//!
//! Permits are counted for the whole process; requests that wait for one are queued on their own
//! worker. Whose turn it is follows from tags of start-time fair queueing, which all workers share.

mod fair_queue;
mod flows;
mod learned;
mod learning;
mod permits;
mod rate_limit;
mod seen;
mod service_time;

pub use fair_queue::{FairQueue, Place};
pub use flows::{Flows, Ticket};
pub use learned::Learned;
pub use learning::{EndedCall, Learning};
pub use permits::Permits;
pub use rate_limit::{RateLimit, RateLimitSettings};
pub use seen::{Ended, Seen, class_of};
pub use service_time::ServiceTime;
