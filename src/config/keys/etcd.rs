//! Keys of etcd as a source.

use std::time::Duration;

use super::texts::{ETCD_ENDPOINT, ETCD_PREFIX, NONEMPTY};
use super::{CLIENT_TLS, MINUTE, MS};
use crate::config::etcd::prefix;
use crate::config::read;
use crate::discovery::{EtcdEndpoint, EtcdSettings};
use crate::text::keys::{Absent, Key, List, Many, Part, Setting, Shape, duration, section, text};

section! {
    /// Backends from etcd.
    pub static DISCOVER_ETCD: DiscoverEtcd = "services.*.discover.etcd";

    endpoints: List<EtcdEndpoint> = text(&ETCD_ENDPOINT, EtcdEndpoint::parse, ToString::to_string),
        Many::Some, Absent::Required("add `endpoints: [ \"http://etcd:2379\" ]`"),
        "members of one cluster: one is asked, and the next one when it fails";
    prefix: Key<String> = text(&ETCD_PREFIX, prefix, Clone::clone),
        Absent::Required("add `prefix: /services/orders`"),
        "the keys of the service begin with this and a slash; \
         [which form](discovery.md#etcd) their values have is seen by itself";
    user: Key<String> = text(&NONEMPTY, read::text, Clone::clone), Absent::Nothing,
        "who logs in; needs `password`";
    password: Key<String> = text(&NONEMPTY, read::text, Clone::clone), Absent::Nothing,
        "best a variable: `\"${ETCD_PASSWORD}\"`; it is never shown";
    tls: Part = Shape::Mapping(&CLIENT_TLS), Absent::Nothing,
        "TLS to endpoints whose URL begins with https";
    timeout: Setting<Duration> = duration(MS..=MINUTE), EtcdSettings::TIMEOUT,
        "how long connecting may take, and each call";
}
