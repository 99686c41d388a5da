//! Sets of members and configured policies, for the tests and the benches, so it takes what it
//! needs from the module above it.

use std::sync::Arc;

use super::{
    Endpoint, EndpointSet, EwmaParams, Factory, Member, POLICIES, ParamValue, Params, Policy, Time,
};

/// A member at each address, of the weight beside it.
pub fn set_of<'a>(
    members: impl IntoIterator<Item = (&'a str, u32)>,
    ewma: &EwmaParams,
) -> Arc<EndpointSet> {
    let member = |(address, weight)| Member {
        endpoint: Arc::new(Endpoint::new(address, 1, Time::ZERO)),
        weight,
    };
    Arc::new(EndpointSet::new(members.into_iter().map(member), ewma.clone()))
}

/// Members `10.0.0.0:1`, `10.0.0.1:1` ... of these weights.
pub fn set(weights: &[u32]) -> Arc<EndpointSet> {
    let address = |n| format!("10.0.{}.{}:1", n / 256, n % 256);
    let addresses: Vec<_> = (0..weights.len()).map(address).collect();
    set_of(
        addresses.iter().map(String::as_str).zip(weights.iter().copied()),
        &EwmaParams::default(),
    )
}

fn by_header() -> (String, ParamValue) {
    ("key".into(), ParamValue::Map(vec![("header".into(), "x-key".into())]))
}

/// The policy with its defaults, and with a header as its key if it insists on one.
pub fn configured(policy: &dyn Policy) -> Arc<dyn Factory> {
    let keyed = || policy.configure(Params::new([by_header()]));
    policy.configure(Params::default()).or_else(|_| keyed()).unwrap()
}

/// The policy with bounded load, if it knows that.
pub fn bounded(policy: &dyn Policy, factor: &str) -> Option<Arc<dyn Factory>> {
    let factor = ("bounded_load".into(), ParamValue::Text(factor.into()));
    policy.configure(Params::new([by_header(), factor])).ok()
}

/// Every policy, and those with bounded load once more.
pub fn factories() -> Vec<(String, Arc<dyn Factory>)> {
    let plain = POLICIES.iter().map(|policy| (policy.name().to_owned(), configured(*policy)));
    let bounded = POLICIES.iter().filter_map(|policy| {
        Some((format!("{}, bounded", policy.name()), bounded(*policy, "1.25")?))
    });
    plain.chain(bounded).collect()
}
