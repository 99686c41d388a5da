//! Numbers that are counted and what is read off them; what they count is not known here.

mod counter;
mod histogram;
mod streams;
mod window;

pub use counter::WorkerCounter;
pub(crate) use counter::{increment, of_worker};
pub use histogram::{Buckets, Counts, Histogram, QUANTILE_ERROR, Sample, nearest_bound};
pub use streams::{Direction, StreamTotals};
pub use window::{Reading, Window, WindowStats};
