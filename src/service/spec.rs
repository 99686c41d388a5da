//! A service as the configuration describes it, validated: its policy and, apart from that, its
//! members.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::ejection::Ejection;
use super::membership::Layer;
use crate::balance::{self, Factory, POLICIES, Policy};
use crate::health::Check;
use crate::text::{BadParams, ParamValue, Params, nearest, suggestion};
use crate::upstream;

/// The largest weight an endpoint may have.
pub const MAX_WEIGHT: u32 = 1000;

/// The most backends that a service may have.
pub const MAX_BACKENDS: usize = 10_000;

/// Endpoints of a service to which a connection is kept unless told otherwise.
pub const PRECONNECT: usize = 100;

/// The part of a service, in a hundred, that is to stand unless told otherwise.
pub const PANIC: u8 = 50;

/// What the endpoints of a service speak.
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

/// A service's policy, ready to build pickers.
#[derive(Clone, Debug)]
pub struct Balancer {
    /// The policy's name.
    pub policy: &'static str,
    /// What it was configured with.
    pub settings: Vec<(String, ParamValue)>,
    /// Every setting that it goes by, those that were not given with their defaults; by key.
    pub in_effect: Vec<(String, ParamValue)>,
    /// The configured policy.
    pub factory: Arc<dyn Factory>,
}

impl Balancer {
    /// `policy` with `settings`.
    ///
    /// # Errors
    /// Every setting that is unknown or wrong.
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

    /// The policy called `name`.
    ///
    /// # Errors
    /// Says which there are.
    pub fn policy(name: &str) -> Result<&'static dyn Policy, String> {
        balance::policy(name).ok_or_else(|| {
            let known: Vec<&str> = POLICIES.iter().map(|policy| policy.name()).collect();
            let near = nearest(name, known.iter().copied());
            format!("unknown policy `{name}`: {}", suggestion(near, &known))
        })
    }
}

/// Factories do not compare; what they were made from does.
impl PartialEq for Balancer {
    fn eq(&self, other: &Balancer) -> bool {
        (self.policy, &self.settings) == (other.policy, &other.settings)
    }
}

/// As one would write it in a line.
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

/// A backend as an operator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// `host:port` or `unix:path`.
    pub address: String,
    /// 0..=`MAX_WEIGHT`.
    pub weight: u32,
}

/// A service as the configuration describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceConfig {
    /// Its policy.
    pub spec: ServiceSpec,
    /// Its backends, `MAX_BACKENDS` at most: the lowest layer of its membership.
    pub members: Layer,
}

/// The policy of a service: all that does not depend on which backends it has.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    /// Its name, unique.
    pub name: String,
    /// What its endpoints speak.
    pub protocol: UpstreamProtocol,
    /// How requests are spread.
    pub balancer: Balancer,
    /// Paths of gRPC methods that are known to stream: `/package.Service/Method`.
    pub streams: Vec<String>,
    /// To how many of them a connection is kept that no request has asked for.
    pub preconnect: usize,
    /// How connections to them are made.
    pub upstream: upstream::Settings,
    /// How they are checked, if they are.
    pub health: Option<Arc<Check>>,
    /// When they are ejected for what they answer, if ever.
    pub ejection: Option<Ejection>,
    /// When less of a hundred of their weights stands, those serve too that are out.
    pub panic: u8,
}
