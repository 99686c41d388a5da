//! Hop-by-hop fields and message framing.

use super::head;
use super::write::{decimal, is_for_trailers};
use crate::http::{HeaderPool, Headers, Name, Role, message};

/// Error for an unknown transfer coding.
pub const CODING: &str = "a transfer-encoding other than chunked";

/// Limit of connection options, besides those known here.
const MAX_NOMINATED: usize = 16;

/// The hop-by-hop fields of a head, and its framing.
#[derive(Debug, Default)]
pub struct HopByHop<'a> {
    /// It is a response, which cannot be used for smuggling.
    of_response: bool,
    /// `connection: close`.
    pub close: bool,
    /// `connection: upgrade`.
    upgrade_option: bool,
    /// `upgrade`, and the number of such fields.
    upgrade: Option<&'a [u8]>,
    upgrades: usize,
    /// `te` has `trailers`.
    pub trailers: bool,
    /// `host`.
    pub host: Option<&'a [u8]>,
    /// `content-length`.
    pub length: Option<u64>,
    /// `transfer-encoding: chunked`.
    pub chunked: bool,
    /// Number of fields.
    pub count: usize,
    /// Fields nominated by `connection`.
    nominated: [&'a [u8]; MAX_NOMINATED],
    nominations: usize,
}

impl<'a> HopByHop<'a> {
    /// Reads the fields in `lines`, by the rules for this role.
    pub fn read(lines: &'a [u8], reader: Role) -> Result<HopByHop<'a>, &'static str> {
        let of_response = reader == Role::Client;
        let mut hop = HopByHop { of_response, ..HopByHop::default() };
        let mut lengths = 0;
        let mut codings = 0;
        for field in head::fields(lines, of_response) {
            let (name, value) = field?;
            hop.count += 1;
            match Special::of(name) {
                Some(Special::Connection) => hop.options(value)?,
                Some(Special::Upgrade) => {
                    hop.upgrade = Some(value);
                    hop.upgrades += 1;
                }
                Some(Special::Host) if hop.host.replace(value).is_some() && !of_response => {
                    return Err("two host fields");
                }
                Some(Special::ContentLength) => {
                    let length = message::parse_length(value)?;
                    let repeated = of_response && hop.length == Some(length);
                    lengths += usize::from(!repeated);
                    hop.length = Some(length);
                }
                Some(Special::TransferEncoding) => {
                    codings += 1;
                    if !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(CODING);
                    }
                    hop.chunked = true;
                }
                Some(Special::Te) => hop.trailers |= has_option(value, b"trailers"),
                _ => {}
            }
        }
        match (lengths, codings) {
            (2.., _) => Err("two content-length fields"),
            (_, 2..) => Err("two transfer-encoding fields"),
            (1, 1) => Err("content-length beside transfer-encoding"),
            _ => Ok(hop),
        }
    }

    fn options(&mut self, value: &'a [u8]) -> Result<(), &'static str> {
        for option in value.split(|&byte| byte == b',').map(head::trim) {
            match option {
                b"" => {}
                _ if option.eq_ignore_ascii_case(b"close") => self.close = true,
                _ if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade_option = true,
                _ if Special::of(option).is_some() => {}
                _ => {
                    let slot = self.nominated.get_mut(self.nominations);
                    *slot.ok_or("connection names too many fields")? = option;
                    self.nominations += 1;
                }
            }
        }
        Ok(())
    }

    /// The protocol to upgrade to; not `h2c`, which is spoken here by prior knowledge, and none if
    /// there are several fields.
    pub fn upgrade(&self) -> Option<&'a [u8]> {
        let asked = self.upgrade_option && self.upgrades == 1;
        self.upgrade.filter(|to| asked && !has_option(to, b"h2c"))
    }

    /// Appends the end-to-end fields, and a normalised `content-length`.
    pub fn pass_on(&self, lines: &[u8], headers: &mut Headers) {
        for (name, value) in head::fields(lines, self.of_response).flatten() {
            if self.passes(name) {
                headers.push_lowercased(name, value);
            }
        }
        if let Some(length) = self.length {
            let mut digits = [0; 20];
            headers.add(Name::ContentLength, decimal(length, &mut digits));
        }
    }

    fn passes(&self, name: &[u8]) -> bool {
        let named = self.nominated.get(..self.nominations).unwrap_or_default();
        Special::of(name).is_none() && !named.iter().any(|other| other.eq_ignore_ascii_case(name))
    }
}

/// The trailers in `lines` that may be forwarded, if any.
pub fn trailers(
    lines: &[u8],
    reader: Role,
    pool: &mut HeaderPool,
) -> Result<Option<Headers>, &'static str> {
    let mut headers = pool.take();
    HopByHop::read(lines, reader)?.pass_on(lines, &mut headers);
    headers.retain(|field| is_for_trailers(field.id));
    message::trailers(&mut headers)?;
    Ok((!headers.is_empty()).then_some(headers))
}

/// Fields that are not forwarded as they are: hop-by-hop, framing, `host`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    Connection,
    KeepAlive,
    ProxyConnection,
    TransferEncoding,
    ContentLength,
    Te,
    Upgrade,
    Http2Settings,
    Host,
}

impl Special {
    fn of(name: &[u8]) -> Option<Special> {
        const ALL: [(&[u8], Special); 9] = [
            (b"connection", Special::Connection),
            (b"keep-alive", Special::KeepAlive),
            (b"proxy-connection", Special::ProxyConnection),
            (b"transfer-encoding", Special::TransferEncoding),
            (b"content-length", Special::ContentLength),
            (b"te", Special::Te),
            (b"upgrade", Special::Upgrade),
            (b"http2-settings", Special::Http2Settings),
            (b"host", Special::Host),
        ];
        let found = ALL.iter().find(|(text, _)| name.eq_ignore_ascii_case(text));
        found.map(|(_, special)| *special)
    }
}

/// Whether a comma-separated list contains this token, ignoring case.
pub fn has_option(list: &[u8], word: &[u8]) -> bool {
    let bare = |item: &[u8]| -> bool {
        let word_at = item.split(|&byte| byte == b';').next().unwrap_or_default();
        head::trim(word_at).eq_ignore_ascii_case(word)
    };
    list.split(|&byte| byte == b',').any(bare)
}
