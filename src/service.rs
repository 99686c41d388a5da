//! One service at run time.
//!
//! All that may change lies with one writer task, which joins what the configuration and the
//! operators want and publishes it as one immutable [`Snapshot`] for the data path and one
//! [`ServiceView`] for people. Both are read without waiting for the writer.

mod builders;
mod change;
mod counts;
mod departed;
mod desired;
mod environment;
mod flips;
mod handle;
mod history;
mod membership;
mod methods;
mod next;
mod observed;
mod outlet;
mod overridden;
mod overrides;
mod past;
mod picking;
mod recent;
mod record;
mod registry;
mod rejections;
mod routing;
mod snapshot;
mod spec;
mod split;
mod splits;
mod staged;
mod stamp;
mod standing;
mod view;
mod writer;

pub use builders::Builders;
pub use change::{CONFIGURED, Change, ChangeError, Conditions};
pub use counts::{CountSettings, ServiceCounts};
pub use environment::Environment;
pub use handle::{Beginning, Service};
pub use history::Since;
pub use membership::{Intent, Layer, Wanted};
pub use methods::{MethodTable, OTHER_METHOD};
pub use overridden::{Overridden, OverrideKind, Setting};
pub use recent::Recent;
pub use record::{ChangeRecord, Subject};
pub use registry::{Counted, Registry};
pub use rejections::Rejections;
pub use routing::{Routing, RoutingCache};
pub use snapshot::Snapshot;
pub use spec::{
    Balancer, EndpointSpec, MAX_BACKENDS, MAX_WEIGHT, PANIC, PRECONNECT, ServiceConfig,
    ServiceSpec, UpstreamProtocol,
};
pub use split::{ShareView, SplitChange, SplitError, SplitView};
pub use splits::Splits;
pub use staged::Staged;
pub use stamp::{Author, Stamp};
pub use standing::{BackendState, Condition, Reason, Standing};
pub use view::{BackendView, ServiceView};
