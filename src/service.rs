//! One service at run time.
//!
//! All that may change lies with one writer task, which joins what the configuration and the
//! operators want and publishes it as one immutable [`Snapshot`] for the data path and one
//! [`ServiceView`] for people. Both are read without waiting for the writer.

mod change;
mod counts;
mod departed;
mod environment;
mod handle;
mod history;
mod methods;
mod overridden;
mod overrides;
mod past;
mod recent;
mod registry;
mod rejections;
mod routing;
mod snapshot;
mod spec;
mod split;
mod splits;
mod stamp;
mod view;
mod writer;

pub use change::{CONFIGURED, Change, ChangeError, Conditions};
pub use counts::{CountSettings, ServiceCounts};
pub use environment::Environment;
pub use handle::{Beginning, Service, SnapshotCache};
pub use history::Since;
pub use methods::{MethodTable, OTHER_METHOD};
pub use overridden::{Overridden, OverrideKind, Setting};
pub use recent::Recent;
pub use registry::{Counted, Registry};
pub use rejections::Rejections;
pub use routing::{Routing, RoutingCache};
pub use snapshot::Snapshot;
pub use spec::{
    Balancer, EndpointSpec, MAX_BACKENDS, MAX_WEIGHT, PRECONNECT, ServiceSpec, UpstreamProtocol,
};
pub use split::{ShareView, SplitChange, SplitError, SplitView};
pub use splits::Splits;
pub use stamp::Stamp;
pub use view::{BackendState, BackendView, ServiceView};
