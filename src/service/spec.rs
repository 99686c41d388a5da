//! Validated configuration of a service: its spec and, apart from that, its members.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::time::Duration;

use super::concurrency::Concurrency;
use super::ejection::Ejection;
use super::membership::Layer;
use super::retry_budget::RetryBudgetSettings;
use crate::balance::{self, Factory, POLICIES, Policy};
use crate::discovery::Discover;
use crate::health::Check;
use crate::model::Address;
use crate::text::{BadParams, ParamValue, Params, nearest, suggestion};
use crate::upstream;

/// Maximum weight of an endpoint.
pub const MAX_WEIGHT: u32 = 1000;

/// Maximum of backends of a service.
pub const MAX_BACKENDS: usize = 10_000;

/// Default number of endpoints of a service to preconnect.
pub const PRECONNECT: usize = 100;

/// Default panic threshold in percent.
pub const PANIC: u8 = 50;

/// Default drain timeout of removed endpoints.
pub const ENDPOINT_DRAIN_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Default time that new backends take to get their whole share: they have it at once.
pub const SLOW_START: Duration = Duration::ZERO;

/// Protocol of the endpoints of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// gRPC over HTTP/2.
    #[default]
    Grpc,
    /// HTTP/2.
    Http2,
    /// HTTP/1.1.
    Http1,
}

/// A configured balancing policy, ready to build pickers.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// The policy's name.
    pub policy: &'static str,
    /// Settings as configured.
    pub settings: Vec<(String, ParamValue)>,
    /// All settings with defaults filled in, sorted by key.
    pub in_effect: Vec<(String, ParamValue)>,
    /// Builds its pickers.
    pub factory: Arc<dyn Factory>,
}

impl Balancer {
    /// Configures `policy` with `settings`.
    ///
    /// # Errors
    /// Lists every unknown or invalid setting.
    pub fn new(
        policy: &'static dyn Policy,
        settings: Vec<(String, ParamValue)>,
    ) -> Result<Balancer, BadParams> {
        let params = Params::new(settings.clone());
        let defaults = params.defaults();
        let factory = policy.configure(params)?;
        let mut in_effect = settings.clone();
        in_effect.extend(defaults.take().into_iter().map(|(key, value)| (key.into(), value)));
        in_effect.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Balancer { policy: policy.name(), settings, in_effect, factory })
    }

    /// Looks up a policy by name.
    ///
    /// # Errors
    /// The policy is unknown; lists those there are.
    pub fn policy(name: &str) -> Result<&'static dyn Policy, String> {
        balance::policy(name).ok_or_else(|| {
            let known: Vec<&str> = POLICIES.iter().map(|policy| policy.name()).collect();
            let near = nearest(name, known.iter().copied());
            format!("unknown policy `{name}`: {}", suggestion(near, &known))
        })
    }
}

/// Compares policy and settings, as factories cannot be compared.
impl PartialEq for Balancer {
    fn eq(&self, other: &Balancer) -> bool {
        (self.policy, &self.settings) == (other.policy, &other.settings)
    }
}

/// On one line, for the log.
impl Display for Balancer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.policy)?;
        self.settings.iter().try_for_each(|(key, value)| match value {
            ParamValue::Text(text) => write!(f, " {key}={text}"),
            ParamValue::Map(pairs) => {
                pairs.iter().try_for_each(|(inner, text)| write!(f, " {key}.{inner}={text}"))
            }
        })
    }
}

/// A backend as given by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// `host:port` or `unix:path`.
    pub address: String,
    /// 0..=`MAX_WEIGHT`.
    pub weight: u32,
}

/// Validated configuration of a service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Its spec.
    pub spec: ServiceSpec,
    /// Its backends, `MAX_BACKENDS` at most: the lowest layer of its membership.
    pub members: Layer,
    /// Those of them whose zone it says.
    pub zones: Zones,
}

/// Zones of backends.
pub type Zones = Arc<HashMap<Address, Arc<str>>>;

/// Spec of a service: its configuration without the members.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Unique name.
    pub name: String,
    /// Protocol of its endpoints.
    pub protocol: UpstreamProtocol,
    /// Balancing policy.
    pub balancer: Balancer,
    /// Paths of gRPC methods that are known to stream: `/package.Service/Method`.
    pub streams: Vec<String>,
    /// Number of endpoints to which a warm connection is kept without requests.
    pub preconnect: usize,
    /// Connection settings.
    pub upstream: upstream::Settings,
    /// Drain timeout of removed endpoints, if any.
    pub endpoint_drain_timeout: Option<Duration>,
    /// Active health check, if any.
    pub health: Option<Arc<Check>>,
    /// The source that tells which backends there are beside those configured.
    pub discover: Option<Arc<Discover>>,
    /// Outlier ejection, if any.
    pub ejection: Option<Ejection>,
    /// Panic threshold: with less than this percentage of the weight healthy, unhealthy and ejected
    /// endpoints get requests too.
    pub panic: u8,
    /// How many retries and hedges it bears.
    pub retry_budget: RetryBudgetSettings,
    /// How many requests may be in flight; `None` if that is neither limited nor learnt.
    pub concurrency: Option<Concurrency>,
    /// How long backends that are new or back take to get their whole share; zero for at once.
    pub slow_start: Duration,
    /// The gateway's zone, whose backends are preferred.
    pub prefer_zone: Option<Arc<str>>,
}
