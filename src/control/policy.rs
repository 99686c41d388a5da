//! Conversion of policy settings to and from `google.protobuf.Struct`.

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use tonic::Status;

use super::proto;
use crate::service::Balancer;
use crate::text::ParamValue;

/// The policy with its effective settings.
pub(super) fn policy(balancer: &Balancer) -> proto::Policy {
    let settings = Some(settings_of(balancer));
    proto::Policy { name: balancer.policy.into(), settings }
}

/// The effective settings.
pub(super) fn settings_of(balancer: &Balancer) -> Struct {
    let text = |text: &str| Value { kind: Some(Kind::StringValue(text.into())) };
    let value = |value: &ParamValue| match value {
        ParamValue::Text(scalar) => text(scalar),
        ParamValue::Map(pairs) => {
            let fields = pairs.iter().map(|(key, value)| (key.clone(), text(value))).collect();
            Value { kind: Some(Kind::StructValue(Struct { fields })) }
        }
    };
    let settings = balancer.in_effect.iter();
    Struct { fields: settings.map(|(key, setting)| (key.clone(), value(setting))).collect() }
}

/// The settings of a request.
pub(super) fn settings(settings: Struct) -> Result<Vec<(String, ParamValue)>, Status> {
    let settings = settings.fields.into_iter();
    settings.map(|(key, value)| setting(&key, value).map(|value| (key, value))).collect()
}

fn setting(key: &str, value: Value) -> Result<ParamValue, Status> {
    match value.kind {
        Some(Kind::StructValue(map)) => {
            let pairs = map.fields.into_iter();
            let pair = |(inner, value): (String, Value)| match scalar(value) {
                Some(text) => Ok((inner, text)),
                None => Err(unreadable(key)),
            };
            pairs.map(pair).collect::<Result<_, _>>().map(ParamValue::Map)
        }
        _ => scalar(value).map(ParamValue::Text).ok_or_else(|| unreadable(key)),
    }
}

fn scalar(value: Value) -> Option<String> {
    match value.kind? {
        Kind::StringValue(text) => Some(text),
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::BoolValue(yes) => Some(yes.to_string()),
        Kind::NullValue(_) | Kind::StructValue(_) | Kind::ListValue(_) => None,
    }
}

fn unreadable(key: &str) -> Status {
    let key: String = key.chars().take(64).collect();
    Status::invalid_argument(format!(
        "setting `{key}` is neither a text, a number, true nor false, nor a mapping to such"
    ))
}
