//! What is asked of the API.

use std::fmt::Write as _;

/// Slices in a page of a list. With as many endpoints as a slice may have, 1,000, it is some 20 MiB.
const PAGE: u32 = 50;

/// A page of the EndpointSlices of a service: the first, or the one at `next`.
pub fn list(namespace: &str, service: &str, next: Option<&str>) -> String {
    let mut path = format!("{}&limit={PAGE}", slices(namespace, service));
    if let Some(next) = next {
        path += "&continue=";
        path += &encoded(next);
    }
    path
}

/// Their changes from `version` on, for `seconds`.
pub fn watch(namespace: &str, service: &str, version: &str, seconds: u64) -> String {
    let (slices, version) = (slices(namespace, service), encoded(version));
    format!(
        "{slices}&watch=1&resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds={seconds}"
    )
}

fn slices(namespace: &str, service: &str) -> String {
    format!(
        "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector={}",
        encoded(namespace),
        encoded(&format!("kubernetes.io/service-name={service}"))
    )
}

/// Percent-encoded, but for what never needs it.
fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(byte.into());
            }
            _ => drop(write!(encoded, "%{byte:02X}")), // a String takes everything
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_reference() {
        let slices = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices\
                      ?labelSelector=kubernetes.io%2Fservice-name%3Dorders";
        assert_eq!(list("shop", "orders", None), format!("{slices}&limit=50"));
        assert_eq!(
            list("shop", "orders", Some("a+b/c=&\u{fc}")),
            format!("{slices}&limit=50&continue=a%2Bb%2Fc%3D%26%C3%BC")
        );
        assert_eq!(
            watch("shop", "orders", "1 2", 300),
            format!(
                "{slices}&watch=1&resourceVersion=1%202&allowWatchBookmarks=true&timeoutSeconds=300"
            )
        );
    }
}
