//! Services at run time: single writer, immutable snapshots.
//!
//! One writer task owns all mutable state of a service. It merges configuration and overrides, and
//! publishes an immutable `Snapshot` for the data path and a [`ServiceView`] for the control API
//! and metrics. Readers never wait for the writer.

mod build_pool;
mod change;
mod concurrency;
mod condition_changes;
mod counters;
mod desired;
mod difference;
mod ejection;
mod environment;
mod explain;
mod handle;
mod history;
mod membership;
mod methods;
mod override_view;
mod overrides;
mod pickers;
mod preview;
mod publisher;
mod recent_stats;
mod registry;
mod rejections;
mod removed_services;
mod retention;
mod retry_budget;
mod routing;
mod service_stats;
mod serving_period;
mod slow_start;
mod snapshot;
mod spec;
mod split;
mod splits;
mod staged;
mod standing;
mod suspicion;
mod transition;
mod view;
mod writer;
mod zone_spill;

pub use crate::overrides::Author;
pub use build_pool::BuildPool;
pub(crate) use change::ChangeError;
pub use change::{CONFIGURED, Change, Terms};
pub use concurrency::{Concurrency, LearningMode, Refusal};
pub use counters::CounterSettings;
pub(crate) use counters::ServiceCounters;
pub use ejection::{Cause, Ejected, Ejection, EjectionCounts};
pub use environment::Environment;
pub(crate) use explain::{BackendExplanation, CostTerm, Unit, explain};
pub(crate) use handle::InitialState;
pub use handle::Service;
pub(crate) use history::OutcomesSince;
pub use membership::Layer;
pub(crate) use membership::MergedIntent;
pub use methods::MethodTable;
pub(crate) use override_view::OverrideView;
pub use override_view::{OverrideKind, Setting};
pub(crate) use preview::{BackendPreview, Preview, SharePreview};
pub(crate) use recent_stats::RecentStats;
pub use registry::{Registry, ServiceMetrics};
pub(crate) use rejections::Rejections;
pub use retry_budget::{RetryBudget, RetryBudgetSettings};
pub(crate) use routing::{Routing, RoutingCache};
pub use serving_period::ServingPeriod;
pub(crate) use snapshot::Snapshot;
pub use spec::{Balancer, EndpointSpec, ServiceConfig, ServiceSpec, Zones};
pub(crate) use spec::{
    ENDPOINT_DRAIN_TIMEOUT, MAX_BACKENDS, MAX_WEIGHT, PANIC, PRECONNECT, SLOW_START,
    UpstreamProtocol,
};
pub use split::SplitChange;
pub(crate) use split::{ShareView, SplitError, SplitView};
pub(crate) use splits::Splits;
pub use staged::StagedService;
pub(crate) use standing::Standing;
pub use standing::{BackendState, Condition, Reason};
pub use view::{BackendView, ServiceView};
