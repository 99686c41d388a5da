//! Reads the settings of etcd as a source.

use std::sync::Arc;

use super::files::Files;
use super::keys::DISCOVER_ETCD;
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use super::tls;
use crate::discovery::{EtcdSettings, EtcdTls, EtcdUser, Settings};
use crate::text::SecretText;
use crate::upstream::Version;

/// Reads `discover.etcd` of a service.
pub fn read(node: &Node, files: &Files, problems: &Problems) -> Option<Arc<dyn Settings>> {
    let fields = Fields::of(node, &DISCOVER_ETCD, problems);
    let endpoints = fields.list(&DISCOVER_ETCD.endpoints);
    let prefix = fields.optional(&DISCOVER_ETCD.prefix);
    let user = user(&fields, problems);
    let timeout = fields.value(&DISCOVER_ETCD.timeout);
    let tls = fields.get(&DISCOVER_ETCD.tls);
    let secured = endpoints.iter().any(|endpoint| endpoint.is_https());
    match tls {
        None if secured => {
            let help = "add `tls: { ca: ca.pem }`, whose certificates the members have";
            problems.error(node.span, "endpoints with https need `tls`", help);
        }
        Some(tls) if !secured && !endpoints.is_empty() => {
            let help = "write https:// in place of http://";
            problems.warn(tls.span, "no endpoint is spoken to by TLS", help);
        }
        _ => {}
    }
    let tls = tls.and_then(|node| tls::client(node, Version::Http2, files, problems));
    let tls = tls.map(|tls| EtcdTls {
        config: tls.config,
        server_name: tls.server_name,
        fingerprint: tls.fingerprint,
    });
    fields.finish();
    Some(Arc::new(EtcdSettings { endpoints, prefix: prefix?, user, tls, timeout }))
}

fn user(fields: &Fields<'_>, problems: &Problems) -> Option<EtcdUser> {
    let (name, password) = (&DISCOVER_ETCD.user, &DISCOVER_ETCD.password);
    if let (Some(lone), None) | (None, Some(lone)) = (fields.get(name), fields.get(password)) {
        let help = "give both, or neither if etcd has no users";
        problems.error(lone.span, "`user` and `password` belong together", help);
    }
    let (name, password) = (fields.optional(name)?, fields.optional(password)?);
    Some(EtcdUser { name, password: SecretText::new(password) })
}

/// Parses a prefix; a slash is put to its end, so that `orders` does not stand for `orders-old` too.
///
/// # Errors
/// If all keys of etcd would begin with it.
pub fn prefix(text: &str) -> Result<String, String> {
    match text.trim_end_matches('/') {
        "" => Err(format!(
            "`{text}` stands for all keys: write that of a service, such as /services/orders"
        )),
        _ if text.ends_with('/') => Ok(text.into()),
        _ => Ok(format!("{text}/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_end_with_a_slash() {
        assert_eq!(prefix("user.rpc").unwrap(), "user.rpc/");
        assert_eq!(prefix("/services/orders/").unwrap(), "/services/orders/");
        for text in ["", "/", "//"] {
            assert!(prefix(text).unwrap_err().contains("/services/orders"), "{text}");
        }
    }
}
