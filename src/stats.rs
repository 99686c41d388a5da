//! Generic statistics: counters, histograms, sliding windows. They do not know what they count.

mod counter;
mod histogram;
mod streams;
mod window;

pub(crate) use counter::WorkerCounter;
pub(crate) use counter::{increment, of_worker};
pub(crate) use histogram::{CoarseHistogram, nearest_bound};
pub use histogram::{Histogram, HistogramCounts, QUANTILE_ERROR, Sample};
pub use streams::Direction;
pub(crate) use streams::StreamTotals;
pub use window::WindowStats;
pub(crate) use window::{Reading, Window};
