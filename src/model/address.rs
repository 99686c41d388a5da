//! An endpoint's address: IP, host name or Unix socket.

use std::fmt::{self, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::text::address::{endpoint, socket};

/// An address as it was written. Equality ignores spelling differences without meaning; it says
/// nothing of what a name resolves to.
#[derive(Clone, Debug)]
pub struct Address {
    text: Arc<str>,
    parsed: Parsed,
    is_name: bool,
}

/// The parsed address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Parsed {
    /// Host and port, in lower case: host names are case-insensitive.
    Host(Arc<str>),
    /// The path of a Unix socket.
    Socket(Arc<str>),
}

impl Address {
    /// Parses an address.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn parse(text: &str) -> Result<Address, String> {
        let text = endpoint(text)?;
        let parsed = match socket(&text) {
            Some(Ok(path)) => Parsed::Socket(path.into()),
            _ => Parsed::Host(text.to_ascii_lowercase().into()),
        };
        let is_name = matches!(parsed, Parsed::Host(_)) && text.parse::<SocketAddr>().is_err();
        Ok(Address { text: text.into(), parsed, is_name })
    }

    /// The address as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address of a host at this IP.
    pub fn of(at: SocketAddr) -> Address {
        let text: Arc<str> = at.to_string().into();
        Address { parsed: Parsed::Host(Arc::clone(&text)), text, is_name: false }
    }

    /// Host and port, if the host is a name and no IP.
    pub fn name(&self) -> Option<(&str, u16)> {
        let Parsed::Host(text) = &self.parsed else { return None };
        let (host, port) = text.rsplit_once(':').filter(|_| self.is_name)?;
        Some((host, port.parse().ok()?))
    }

    /// Whether it is a Unix socket.
    pub fn is_socket(&self) -> bool {
        matches!(self.parsed, Parsed::Socket(_))
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        self.parsed == other.parsed
    }
}

impl Eq for Address {}

impl Hash for Address {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parsed.hash(state);
    }
}

impl Display for Address {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_ignores_spelling() {
        let address = |text| Address::parse(text).unwrap();
        for (one, other) in [
            ("Orders.Example:80", "orders.example:80"),
            ("[fd00::A]:80", "[FD00::a]:80"),
            ("unix:/run/a", "unix:///run/./a"),
        ] {
            assert_eq!(address(one), address(other));
            assert!(one == address(one).as_str() && one == address(one).to_string());
        }
        for (one, other) in [
            ("orders:80", "orders:81"),
            ("127.0.0.1:80", "localhost:80"),
            ("unix:/run/a", "unix:/run/A"),
            ("[::ffff:127.0.0.1]:80", "[::ffff:7f00:1]:80"),
        ] {
            assert_ne!(address(one), address(other));
        }
        assert!(address("unix:/run/a").is_socket() && !address("unix:80").is_socket());
        assert!(Address::parse("orders").unwrap_err().contains("no port"));
        assert_eq!(address("Orders:80").name(), Some(("orders", 80)));
        for text in ["10.0.0.1:80", "[::1]:80", "unix:/run/a"] {
            assert_eq!(address(text).name(), None, "{text}");
        }
        assert_eq!(Address::of("[::1]:80".parse().unwrap()), address("[::1]:80"));
    }
}
