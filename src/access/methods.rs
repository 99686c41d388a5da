//! What each method of the control port needs: the one table from method to role.

use super::Role::{self, Admin, Operate, Read};

/// For which services the role is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// For the one that the request names.
    Service,
    /// For each one that the route, which the request names, splits its requests over.
    Split,
    /// For any: the answer has no more than what the caller may see.
    Listed,
    /// For all.
    All,
    /// For none: whoever has proved who they are may.
    Identity,
}

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodRule {
    /// The full name of the gRPC service.
    pub service: &'static str,
    /// The method.
    pub name: &'static str,
    /// The least role.
    pub role: Role,
    /// For what.
    pub need: Need,
}

const CONTROL: &str = "equipoise.control.v1.Control";
const HEALTH: &str = "grpc.health.v1.Health";
const REFLECTION: &str = "grpc.reflection.v1.ServerReflection";
const OLD_REFLECTION: &str = "grpc.reflection.v1alpha.ServerReflection";

const fn row(service: &'static str, name: &'static str, role: Role, need: Need) -> MethodRule {
    MethodRule { service, name, role, need }
}

/// All methods. One that is not here cannot be called.
pub static METHODS: &[MethodRule] = &[
    row(CONTROL, "WhoAmI", Read, Need::Identity),
    row(CONTROL, "ListServices", Read, Need::Listed),
    row(CONTROL, "GetService", Read, Need::Service),
    row(CONTROL, "WatchService", Read, Need::Service),
    row(CONTROL, "WatchDrain", Read, Need::Service),
    row(CONTROL, "ExplainService", Read, Need::Service),
    row(CONTROL, "ListMethods", Read, Need::Service),
    row(CONTROL, "ListSources", Read, Need::Listed),
    row(CONTROL, "ListSplits", Read, Need::Listed),
    row(CONTROL, "GetSplit", Read, Need::Split),
    // Of the service or of the split that the request names.
    row(CONTROL, "ListChanges", Read, Need::Split),
    // The route table is told, whichever service a request goes to.
    row(CONTROL, "ExplainRoute", Read, Need::All),
    row(CONTROL, "GetLogLevel", Read, Need::Listed),
    row(CONTROL, "SetWeights", Operate, Need::Service),
    row(CONTROL, "DrainBackend", Operate, Need::Service),
    row(CONTROL, "UndrainBackend", Operate, Need::Service),
    row(CONTROL, "EjectBackend", Operate, Need::Service),
    row(CONTROL, "HealBackend", Operate, Need::Service),
    row(CONTROL, "SetSplit", Operate, Need::Split),
    row(CONTROL, "ResetSplit", Operate, Need::Split),
    // To revert what needed more needs as much: see `Control`.
    row(CONTROL, "RevertChange", Operate, Need::Split),
    row(CONTROL, "AddBackends", Admin, Need::Service),
    row(CONTROL, "RemoveBackends", Admin, Need::Service),
    row(CONTROL, "SetPolicy", Admin, Need::Service),
    // It takes back everything, whatever has been changed.
    row(CONTROL, "ResetService", Admin, Need::Service),
    row(CONTROL, "SetLogLevel", Admin, Need::All),
    row(HEALTH, "Check", Read, Need::Listed),
    row(HEALTH, "Watch", Read, Need::Listed),
    row(REFLECTION, "ServerReflectionInfo", Read, Need::Listed),
    row(OLD_REFLECTION, "ServerReflectionInfo", Read, Need::Listed),
];

/// The rule of the method at this path, such as `/equipoise.control.v1.Control/GetService`.
pub fn method(path: &str) -> Option<&'static MethodRule> {
    let (service, name) = path.strip_prefix('/')?.split_once('/')?;
    METHODS.iter().find(|rule| rule.name == name && rule.service == service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_their_exact_path() {
        let found = |path| method(path).map(|rule| (rule.name, rule.role));
        let path = "/equipoise.control.v1.Control/SetWeights";
        assert_eq!(found(path), Some(("SetWeights", Operate)));
        for wrong in [
            "",
            "/",
            "equipoise.control.v1.Control/SetWeights",
            "/equipoise.control.v1.Control/setweights",
            "/equipoise.control.v1.Control/SetWeights/",
            "//equipoise.control.v1.Control/SetWeights",
            "/grpc.health.v1.Health/SetWeights",
        ] {
            assert_eq!(found(wrong), None, "{wrong}");
        }
        for (index, rule) in METHODS.iter().enumerate() {
            let path = format!("/{}/{}", rule.service, rule.name);
            assert_eq!(method(&path), METHODS.get(index), "{path} has two rows");
        }
    }
}
