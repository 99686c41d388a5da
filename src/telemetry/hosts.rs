//! The hosts by which the metrics port may be asked, against DNS rebinding: a page of a stranger, in
//! a browser of somebody here, whose own name comes to mean this address. Such a name is one that
//! anybody can register, and is in `Host`.

use std::net::IpAddr;

/// Domains that nobody can register (RFC 6761, RFC 6762, ICANN), and those of Kubernetes.
const RESERVED: [&str; 5] = [".localhost", ".local", ".internal", ".test", ".svc"];

/// Names that are allowed beside those that no stranger can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedHosts(pub Vec<AllowedHost>);

/// A name, or all names below a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedHost {
    /// This one.
    Name(String),
    /// All that end with this, which begins with a dot.
    Below(String),
}

impl AllowedHost {
    /// Parses a name, or `*.` and a domain.
    ///
    /// # Errors
    /// Says what to write.
    pub fn parse(text: &str) -> Result<AllowedHost, String> {
        let (name, below) = match text.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') => (domain.get(1..).unwrap_or_default(), true),
            _ => (text, false),
        };
        let label = |label: &str| {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !label.is_empty() && label.len() <= 63 && label.bytes().all(fits)
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!(
                "`{text}` is no host: write a name without a port, such as gateway.example.com, or \
                 *.example.com; IP addresses are allowed in any case"
            ));
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { AllowedHost::Below(format!(".{name}")) } else { AllowedHost::Name(name) })
    }

    /// As it is written.
    pub fn text(&self) -> String {
        match self {
            AllowedHost::Name(name) => name.clone(),
            AllowedHost::Below(domain) => format!("*{domain}"),
        }
    }
}

impl AllowedHosts {
    /// Whether a request may name this authority: an IP address, a name without a dot, one of a
    /// reserved domain, or one that is listed. The port is not looked at.
    pub fn allow(&self, authority: &str) -> bool {
        let Some(host) = host(authority) else { return false };
        if host.parse::<IpAddr>().is_ok() {
            return true;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let reserved = || RESERVED.iter().any(|domain| host.ends_with(domain));
        let listed = |allowed: &AllowedHost| match allowed {
            AllowedHost::Name(name) => *name == host,
            AllowedHost::Below(domain) => host.ends_with(domain.as_str()),
        };
        !host.contains('.') || reserved() || self.0.iter().any(listed)
    }
}

/// The host of an authority, without brackets; `None` if it is malformed.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            authority.split_at_checked(end)?
        }
    };
    let is_port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()));
    (is_port && !host.is_empty() && !host.contains('@')).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_a_stranger_could_have_are_refused_unless_listed() {
        let listed = ["gw.example.com", "*.prod.example.com"].map(AllowedHost::parse);
        let hosts = AllowedHosts(listed.map(Result::unwrap).into());
        for yes in [
            "127.0.0.1:9901",
            "10.1.2.3:9901",
            "[::1]:9901",
            "[fd00::1]",
            "localhost",
            "LOCALHOST:9901",
            "equipoise:9901",
            "equipoise.prod.svc:9901",
            "gw.cluster.local",
            "gw.lab.internal.:9901",
            "GW.example.com:9901",
            "gw.example.com.",
            "a.b.prod.example.com",
        ] {
            assert!(hosts.allow(yes), "{yes}");
        }
        for no in [
            "evil.example",
            "127.0.0.1.evil.example:9901",
            "localhost.evil.example",
            "gw.example.com.evil.example",
            "xgw.example.com",
            "prod.example.com",
            "evil.example:9901@127.0.0.1",
            "user@localhost",
            "[::1",
            "[::1]x",
            "a.example:80:90",
            "",
            ":9901",
        ] {
            assert!(!hosts.allow(no), "{no}");
        }
        assert!(!AllowedHosts::default().allow("gw.example.com"));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in
            ["", "*", "*.", "a b", "a..b", "*.*.b", "a:9901", "http://a", "ä.example", "[::1]"]
        {
            assert!(AllowedHost::parse(bad).is_err(), "{bad}");
        }
        for good in ["a", "a.example", "*.example"] {
            assert_eq!(AllowedHost::parse(good).unwrap().text(), good);
        }
    }
}
