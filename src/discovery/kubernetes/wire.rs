//! What is read of the API's JSON; the rest is skipped. What stands in lists is kept as text and read
//! one by one, so that one bad item does not spoil the others.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A page of a list.
#[derive(Deserialize)]
pub struct Page<'a> {
    pub metadata: Option<PageMeta>,
    #[serde(borrow)]
    pub items: Option<Vec<&'a RawValue>>,
}

/// What a page tells of the whole list.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageMeta {
    pub resource_version: Option<String>,
    /// Where the next page begins; absent or empty on the last.
    #[serde(rename = "continue")]
    pub next: Option<String>,
}

/// A line of a watch.
#[derive(Deserialize)]
pub struct Event<'a> {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(borrow)]
    pub object: &'a RawValue,
}

/// Any object, of which only the name is wanted.
#[derive(Deserialize)]
pub struct Named {
    pub metadata: ObjectMeta,
}

#[derive(Deserialize)]
pub struct ObjectMeta {
    pub name: String,
}

/// Why a request has failed.
#[derive(Default, Deserialize)]
pub struct Status {
    pub message: Option<String>,
    pub code: Option<u16>,
}

/// An EndpointSlice.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointSlice<'a> {
    pub metadata: ObjectMeta,
    pub address_type: Option<String>,
    #[serde(borrow)]
    pub endpoints: Option<Vec<&'a RawValue>>,
    pub ports: Option<Vec<Port>>,
}

#[derive(Deserialize)]
pub struct Port {
    /// Absent and empty are the same.
    pub name: Option<String>,
    /// Null stands for all ports.
    pub port: Option<i64>,
    /// TCP if absent.
    pub protocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// All but the first are to be ignored, says the API.
    pub addresses: Vec<String>,
    pub conditions: Option<Conditions>,
    pub node_name: Option<String>,
    pub zone: Option<String>,
    pub hints: Option<Hints>,
    pub target_ref: Option<TargetRef>,
}

#[derive(Clone, Copy, Default, Deserialize)]
pub struct Conditions {
    pub ready: Option<bool>,
    pub serving: Option<bool>,
    pub terminating: Option<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Hints {
    pub for_zones: Option<Vec<ForZone>>,
}

#[derive(Deserialize)]
pub struct ForZone {
    pub name: String,
}

/// The pod that an endpoint is.
#[derive(Deserialize)]
pub struct TargetRef {
    pub name: Option<String>,
    pub uid: Option<String>,
}
