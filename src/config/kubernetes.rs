//! Reads `discover.kubernetes` of a service.

use std::sync::Arc;

use super::files::Files;
use super::keys::DISCOVER_KUBERNETES;
use super::node::Node;
use super::read::Fields;
use super::report::Problems;
use crate::discovery::{KubernetesSettings, Settings};

/// The longest name of a service, namespace or port.
const MAX_LABEL: usize = 63;

/// Reads the settings.
pub fn read(node: &Node, files: &Files, problems: &Problems) -> Option<Arc<dyn Settings>> {
    let fields = Fields::of(node, &DISCOVER_KUBERNETES, problems);
    let service = fields.optional(&DISCOVER_KUBERNETES.service);
    let namespace = fields.optional(&DISCOVER_KUBERNETES.namespace);
    let port = fields.optional(&DISCOVER_KUBERNETES.port);
    let kubeconfig = fields.optional(&DISCOVER_KUBERNETES.kubeconfig);
    let context = fields.placed(&DISCOVER_KUBERNETES.context);
    if let (None, Some((_, span))) = (&kubeconfig, &context)
        && !fields.has(&DISCOVER_KUBERNETES.kubeconfig)
    {
        let help = "name the file by `kubeconfig: config`, or leave `context` out";
        problems.error(*span, "`context` is one of a kubeconfig, and there is none", help);
    }
    fields.finish();
    let kubeconfig = kubeconfig.map(|path| files.locate(&path.display().to_string()));
    let context = context.map(|(context, _)| context.into());
    Some(Arc::new(KubernetesSettings { service: service?, namespace, port, kubeconfig, context }))
}

/// Parses the name of a service or namespace.
pub fn name(text: &str) -> Result<Box<str>, String> {
    match is_label(text) {
        true => Ok(text.into()),
        false => Err(format!(
            "`{text}` is no name in Kubernetes: write small letters, digits and `-`, such as orders"
        )),
    }
}

/// Parses the name or number of a port.
pub fn port(text: &str) -> Result<Box<str>, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let fits = match digits {
        true => text.parse::<u16>().is_ok_and(|port| port > 0),
        false => is_label(text),
    };
    match fits {
        true => Ok(text.into()),
        false => Err(format!("`{text}` is no port: write its name, such as grpc, or its number")),
    }
}

/// Whether it is a label of RFC 1123 in small letters.
fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports_are_those_of_kubernetes() {
        let longest = "x".repeat(63);
        for text in ["a", "0", "orders-v2", &longest] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in ["", "-a", "a-", "A", "a.b", "a/b", &format!("{longest}x")] {
            assert!(name(text).is_err() && port(text).is_err(), "{text}");
        }
        for text in ["grpc", "1", "65535", "080", "p-1"] {
            assert_eq!(port(text).as_deref(), Ok(text));
        }
        for text in ["0", "65536", "-1"] {
            assert!(port(text).is_err(), "{text}");
        }
    }
}
