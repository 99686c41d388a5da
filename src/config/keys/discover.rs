//! Keys of discovery: the source of a service's backends.

use std::path::PathBuf;
use std::time::Duration;

use super::texts::{DNS_NAME, FILE, HOST_AND_PORT, KUBERNETES_NAME, KUBERNETES_PORT, NONEMPTY};
use super::{DISCOVER_ETCD, HOUR, MINUTE};
use crate::config::{kubernetes, read};
use crate::discovery::Discover;
use crate::text::address;
use crate::text::keys::{
    Absent, Key, List, Many, Part, Setting, Shape, Short, boolean, duration, section, text,
};

fn path(text: &str) -> Result<PathBuf, String> {
    read::text(text).map(PathBuf::from)
}

section! {
    /// The source of a service's backends.
    pub static DISCOVER: DiscoverKeys = "services.*.discover";

    file: Part = Shape::Mapping(&DISCOVER_FILE), Absent::Nothing,
        "a file that is watched, in YAML or JSON; it may be one of Prometheus' `file_sd_configs`";
    dns: Part = Shape::Mapping(&DISCOVER_DNS), Absent::Nothing,
        "names whose addresses are looked up again and again, and services with SRV records";
    etcd: Part = Shape::Mapping(&DISCOVER_ETCD), Absent::Nothing,
        "[etcd](discovery.md#etcd) v3, where services register themselves";
    kubernetes: Part = Shape::Mapping(&DISCOVER_KUBERNETES), Absent::Nothing,
        "[experimental](discovery.md#kubernetes): the EndpointSlices of a service in Kubernetes";
    keep_empty_for: Setting<Duration> = duration(Duration::ZERO..=HOUR), Discover::KEEP_EMPTY_FOR,
        "how long backends stay that the source has lost, if that is more than half of them at once, \
         or all that took requests";
    allow_empty: Setting<bool> = boolean(), false, "`true` takes such a loss at its word at once";
    initial_timeout: Setting<Duration> = duration(Duration::ZERO..=MINUTE), Discover::INITIAL_TIMEOUT,
        "how long the start of the gateway waits for the first answer; it starts without one then";
}

section! {
    /// Backends from a file.
    pub static DISCOVER_FILE: DiscoverFile = "services.*.discover.file", short Short::Key("path");

    path: Key<PathBuf> = text(&FILE, path, |path| path.display().to_string()),
        Absent::Required("add `path: backends.yaml`"),
        "a list of addresses, of mappings with `address`, `weight`, `zone`, `instance` and `draining`, or \
         of `targets` with `labels`. Relative to this file";
}

section! {
    /// Backends from DNS.
    pub static DISCOVER_DNS: DiscoverDns = "services.*.discover.dns";

    names: List<String> = text(&HOST_AND_PORT, address::host_and_port, Clone::clone), Many::Some,
        Absent::Nothing,
        "`orders.example:50051`: a backend at each of its addresses";
    srv: List<String> = text(&DNS_NAME, address::service_name, Clone::clone), Many::Some, Absent::Nothing,
        "`_grpc._tcp.orders.example`: the hosts, ports and weights that its SRV records tell";
}

section! {
    /// Backends from Kubernetes.
    pub static DISCOVER_KUBERNETES: DiscoverKubernetes = "services.*.discover.kubernetes", short Short::Key("service");

    service: Key<Box<str>> = text(&KUBERNETES_NAME, kubernetes::name, ToString::to_string),
        Absent::Required("add `service: orders`"), "the name of the service";
    namespace: Key<Box<str>> = text(&KUBERNETES_NAME, kubernetes::name, ToString::to_string),
        Absent::Words("the gateway's own, or the context's"), "its namespace";
    port: Key<Box<str>> = text(&KUBERNETES_PORT, kubernetes::port, ToString::to_string),
        Absent::Words("the only one"),
        "the name that the service gives its port, or the number that its pods listen on";
    kubeconfig: Key<PathBuf> = text(&FILE, path, |path| path.display().to_string()),
        Absent::Words("that of a pod"),
        "a file as kubectl has it, for gateways outside of the cluster. Relative to this file";
    context: Key<String> = text(&NONEMPTY, read::text, Clone::clone),
        Absent::Words("the current one"), "the context in it";
}
