//! The PROXY protocol, versions 1 and 2: a header before all else of a connection, by which a load
//! balancer tells whose connection it is. Bytes in, address out; nothing beyond the header is asked
//! for, so that what follows can be TLS.
//!
//! <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::model::Peer;

/// Who begins connections with a header at a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// Networks of load balancers. Each of their connections has to begin with a header: were it
    /// optional, a client behind one that sends none could send its own.
    pub trust: Vec<IpNet>,
    /// Whether peers on a Unix socket are such.
    pub trust_unix: bool,
    /// What becomes of the connections of others, whose bytes are never taken for a header.
    pub others: Others,
}

/// What becomes of connections that do not come from a trusted network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Others {
    /// They are closed.
    #[default]
    Refuse,
    /// They are served without a header.
    Pass,
}

impl ProxyProtocol {
    /// Whether connections of this peer begin with a header.
    pub fn trusts(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.trust.iter().any(|network| network.contains(&address)),
            Peer::Unix => self.trust_unix,
        }
    }
}

/// Why there is no header to go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The connection begins with something else.
    #[error(
        "it does not begin with a header of the PROXY protocol: let the load balancer send one"
    )]
    Missing,
    /// The header breaks the rules.
    #[error("its header of the PROXY protocol is malformed")]
    Malformed,
    /// The header is longer than allowed.
    #[error("its header of the PROXY protocol is longer than 107 bytes, or 4 KiB in version 2")]
    TooLong,
    /// The header is about something other than a connection.
    #[error("its header of the PROXY protocol is about datagrams, or of an unknown family")]
    Unsupported,
}

/// How far a header has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least so many bytes of it are missing.
    Incomplete(usize),
    /// It is complete: the client's address, unless the connection is the balancer's own or its origin
    /// is not known.
    Complete(Option<IpAddr>),
}

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const TEXT: &[u8] = b"PROXY ";
/// The longest header of version 1, CRLF included.
const MAX_TEXT: usize = 107;
/// Length of what every header of version 2 begins with.
const FIXED: usize = 16;
/// The longest header of version 2 that is taken; those seen have some 50 to 500 bytes.
const MAX_BINARY: usize = 4096;

/// Looks at the start of a connection, which has no byte beyond the header: read no more than is
/// said to be missing.
///
/// # Errors
/// Says what is wrong, as soon as it shows.
pub fn parse(input: &[u8]) -> Result<Progress, HeaderError> {
    if input.starts_with(TEXT) {
        return parse_text(input);
    }
    match input.get(..SIGNATURE.len()) {
        Some(start) if start == SIGNATURE => parse_binary(input),
        None if SIGNATURE.starts_with(input) || TEXT.starts_with(input) => {
            // The shortest header of all has more.
            Ok(Progress::Incomplete(SIGNATURE.len() - input.len()))
        }
        _ => Err(HeaderError::Missing),
    }
}

/// Version 1: `PROXY TCP4 192.0.2.1 198.51.100.7 51234 443` and CRLF.
fn parse_text(input: &[u8]) -> Result<Progress, HeaderError> {
    let Some(end) = memchr::memchr(b'\r', input) else {
        let missing = if input.len() < SIGNATURE.len() { SIGNATURE.len() - input.len() } else { 2 };
        let room = MAX_TEXT.saturating_sub(input.len());
        return if room < 2 {
            Err(HeaderError::TooLong)
        } else {
            Ok(Progress::Incomplete(missing))
        };
    };
    let (line, ending) = input.split_at_checked(end).unwrap_or_default();
    match ending {
        b"\r" if input.len() < MAX_TEXT => return Ok(Progress::Incomplete(1)),
        b"\r" => return Err(HeaderError::TooLong),
        b"\r\n" if input.len() > MAX_TEXT => return Err(HeaderError::TooLong),
        b"\r\n" => {}
        _ => return Err(HeaderError::Malformed),
    }
    let line = str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    let parts: Vec<&str> = line.split(' ').collect();
    let address = match *parts.as_slice() {
        [_, "UNKNOWN", ..] => return Ok(Progress::Complete(None)),
        [_, "TCP4", from, to, from_port, to_port] if ports([from_port, to_port]) => {
            of_family::<Ipv4Addr>(from, to)
        }
        [_, "TCP6", from, to, from_port, to_port] if ports([from_port, to_port]) => {
            of_family::<Ipv6Addr>(from, to)
        }
        _ => None,
    };
    address.map(|address| Progress::Complete(Some(address))).ok_or(HeaderError::Malformed)
}

fn of_family<A: std::str::FromStr + Into<IpAddr>>(from: &str, to: &str) -> Option<IpAddr> {
    to.parse::<A>().ok()?;
    Some(from.parse::<A>().ok()?.into())
}

fn ports(texts: [&str; 2]) -> bool {
    let is_port = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits && text.parse::<u16>().is_ok()
    };
    texts.into_iter().all(is_port)
}

/// Version 2: the signature, version and command, family, length, addresses, and further values.
fn parse_binary(input: &[u8]) -> Result<Progress, HeaderError> {
    let Some(&[command, family, high, low]) =
        input.get(SIGNATURE.len()..FIXED).and_then(|rest| rest.first_chunk())
    else {
        return Ok(Progress::Incomplete(FIXED - input.len()));
    };
    let whole = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if whole > MAX_BINARY {
        return Err(HeaderError::TooLong);
    }
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(HeaderError::Malformed),
    };
    match input.len() {
        len if len < whole => return Ok(Progress::Incomplete(whole - len)),
        len if len > whole => return Err(HeaderError::Malformed),
        _ => {}
    }
    if is_local {
        return Ok(Progress::Complete(None));
    }
    let rest = input.get(FIXED..).unwrap_or_default();
    let (address, values) = match family {
        0x00 => return Ok(Progress::Complete(None)),
        0x11 => {
            let (addresses, values) = rest.split_at_checked(12).ok_or(HeaderError::Malformed)?;
            (addresses.first_chunk::<4>().map(|ip| IpAddr::from(*ip)), values)
        }
        0x21 => {
            let (addresses, values) = rest.split_at_checked(36).ok_or(HeaderError::Malformed)?;
            (addresses.first_chunk::<16>().map(|ip| IpAddr::from(*ip)), values)
        }
        // A Unix socket of the balancer: its clients have no address.
        0x31 => (None, rest.split_at_checked(216).ok_or(HeaderError::Malformed)?.1),
        _ => return Err(HeaderError::Unsupported),
    };
    skip_values(values)?;
    Ok(Progress::Complete(address))
}

/// Further values, each a type, a length and as many bytes: they are not used, but have to fit.
fn skip_values(mut values: &[u8]) -> Result<(), HeaderError> {
    while let Some((&[_, high, low], rest)) = values.split_first_chunk() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        values = rest.get(length..).ok_or(HeaderError::Malformed)?;
    }
    if values.is_empty() { Ok(()) } else { Err(HeaderError::Malformed) }
}

#[cfg(test)]
mod tests;
