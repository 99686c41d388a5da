//! Settings of etcd, without what reads them.

use std::fmt::{self, Formatter};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;

use crate::text::{SecretText, address};

/// Settings of etcd.
#[derive(Clone, Debug)]
pub struct EtcdSettings {
    /// The members of the cluster.
    pub endpoints: Vec<EtcdEndpoint>,
    /// Where the keys of the service begin, with a slash at the end.
    pub prefix: String,
    /// Who logs in.
    pub user: Option<EtcdUser>,
    /// TLS to the members whose URL says `https`.
    pub tls: Option<EtcdTls>,
    /// How long connecting may take, and each call.
    pub timeout: Duration,
}

impl EtcdSettings {
    /// Default of `timeout`.
    pub const TIMEOUT: Duration = Duration::from_secs(5);

    pub(super) fn first_key(&self) -> Vec<u8> {
        self.prefix.clone().into_bytes()
    }

    /// The first key after those that begin with the prefix.
    pub(super) fn range_end(&self) -> Vec<u8> {
        let mut end = self.first_key();
        if let Some(last) = end.last_mut() {
            *last = last.saturating_add(1); // it is a slash
        }
        end
    }
}

/// A member of the cluster: `http://host:port` or `https://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EtcdEndpoint {
    https: bool,
    authority: Box<str>,
    host: Box<str>,
}

impl EtcdEndpoint {
    /// Parses its URL.
    ///
    /// # Errors
    /// What is wrong, and how to write it.
    pub fn parse(text: &str) -> Result<EtcdEndpoint, String> {
        let (https, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => {
                let help = "write http://etcd:2379 or https://etcd:2379";
                return Err(format!("an endpoint of etcd is a URL: {help}"));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains('@') {
            return Err("name and password are keys of their own: `user` and `password`".into());
        }
        let authority = match address::socket(authority) {
            None => address::endpoint(authority)?,
            Some(_) => return Err("etcd is spoken to by TCP: write http://etcd:2379".into()),
        };
        let (host, _) = authority.rsplit_once(':').unwrap_or((&authority, ""));
        let host = host.trim_matches(['[', ']']).into();
        Ok(EtcdEndpoint { https, authority: authority.into(), host })
    }

    /// Whether it is spoken to by TLS.
    pub fn is_https(&self) -> bool {
        self.https
    }

    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

impl fmt::Display for EtcdEndpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.authority)
    }
}

/// A user of etcd.
#[derive(Clone, Debug)]
pub struct EtcdUser {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretText,
}

/// TLS to etcd.
#[derive(Clone, Debug)]
pub struct EtcdTls {
    /// The rustls configuration.
    pub config: Arc<rustls::ClientConfig>,
    /// The name that certificates must be for; the endpoint's host if absent.
    pub server_name: Option<ServerName<'static>>,
    /// Hash of the files that `config` was made from.
    pub fingerprint: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_urls_of_a_host_and_a_port() {
        for (text, host, https) in [
            ("http://etcd:2379", "etcd", false),
            ("https://10.0.0.1:2379", "10.0.0.1", true),
            ("https://[2001:db8::1]:2379", "2001:db8::1", true),
        ] {
            let endpoint = EtcdEndpoint::parse(text).unwrap();
            assert_eq!((endpoint.host(), endpoint.is_https()), (host, https));
            assert_eq!(endpoint.to_string(), text);
        }
        assert_eq!(EtcdEndpoint::parse("http://a:1/").unwrap().to_string(), "http://a:1");
        for text in [
            "",
            "etcd:2379",
            "etcd",
            "ftp://etcd:2379",
            "http://etcd",
            "http://etcd:0",
            "http://:2379",
            "http://etcd:2379/v3",
            "http://etcd:2379?a=1",
            "http://unix:/run/etcd",
            "http://[::1]",
        ] {
            let error = EtcdEndpoint::parse(text).unwrap_err();
            assert!(error.contains("write "), "{text}: {error}");
        }
        let error = EtcdEndpoint::parse("http://root:secret@etcd:2379").unwrap_err();
        assert!(error.contains("`password`") && !error.contains("secret"), "{error}");
    }

    #[test]
    fn a_prefix_is_a_range() {
        let settings = EtcdSettings {
            endpoints: Vec::new(),
            prefix: "/services/orders/".into(),
            user: None,
            tls: None,
            timeout: EtcdSettings::TIMEOUT,
        };
        assert_eq!(settings.first_key(), b"/services/orders/");
        assert_eq!(settings.range_end(), b"/services/orders0");
    }

    #[test]
    fn passwords_are_not_shown() {
        let user =
            EtcdUser { name: "gateway".into(), password: SecretText::new("p4ssw0rd".into()) };
        assert!(!format!("{user:?}").contains("p4ssw0rd"));
    }
}
