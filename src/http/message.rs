//! Validation of requests, responses and trailers.

use super::authority;
use super::headers::{Field, Headers, Name};

/// What the codec itself needs to know of a valid head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadInfo {
    /// The declared length of the body.
    pub content_length: Option<u64>,
    /// The status of a response.
    pub status: u16,
}

type Checked<T> = Result<T, &'static str>;

/// Validates the head of a request.
pub fn request(headers: &mut Headers) -> Checked<HeadInfo> {
    headers.trim();
    let mut pseudo = Pseudo::default();
    let mut info = HeadInfo::default();
    let mut host = None;
    for field in headers.iter() {
        match field.id {
            Name::Method => once(&mut pseudo.method, pseudo.over, field)?,
            Name::Scheme => once(&mut pseudo.scheme, pseudo.over, field)?,
            Name::Authority => once(&mut pseudo.authority, pseudo.over, field)?,
            Name::Path => once(&mut pseudo.path, pseudo.over, field)?,
            Name::Host if host.replace(field.value).is_some() => return Err("two host fields"),
            Name::Host => pseudo.over = true,
            _ => pseudo.regular(field, &mut info)?,
        }
        check_value(field.value)?;
    }
    check_target(&pseudo, host)?;
    Ok(info)
}

/// Validates the head of a response, final or informational.
pub fn response(headers: &mut Headers) -> Checked<HeadInfo> {
    headers.trim();
    drop_connection_specific(headers);
    let mut pseudo = Pseudo::default();
    let mut info = HeadInfo::default();
    let mut repeated = false;
    for field in headers.iter() {
        match field.id {
            Name::Status => {
                once(&mut pseudo.method, pseudo.over, field)?;
                info.status = parse_status(field.value)?;
            }
            Name::ContentLength if info.content_length == Some(parse_length(field.value)?) => {
                repeated = true; // unambiguous all the same
            }
            _ => pseudo.regular(field, &mut info)?,
        }
        check_value(field.value)?;
    }
    if repeated {
        let mut lengths = 0;
        headers.retain(|field| {
            lengths += usize::from(field.id == Name::ContentLength);
            field.id != Name::ContentLength || lengths == 1
        });
    }
    if info.status == 0 { Err("no :status") } else { Ok(info) }
}

/// Strips connection-specific fields of a response, as other gateways do. RFC 9113, section 8.2.2,
/// calls such a message malformed for the sake of requests, where the next hop might take them for
/// framing.
fn drop_connection_specific(headers: &mut Headers) {
    const NAMES: [Name; 6] = [
        Name::Connection,
        Name::KeepAlive,
        Name::ProxyConnection,
        Name::TransferEncoding,
        Name::Upgrade,
        Name::Te,
    ];
    if NAMES.iter().any(|&name| headers.get(name).is_some()) {
        headers.retain(|field| !NAMES.contains(&field.id));
    }
}

/// Validates the head of HTTP/1.1's status 101, which HTTP/2 does not have.
pub fn switching(headers: &Headers) -> Checked<()> {
    let mut pseudo = Pseudo::default();
    for field in headers.iter().filter(|field| field.id != Name::Status) {
        pseudo.regular(field, &mut HeadInfo::default())?;
        check_value(field.value)?;
    }
    Ok(())
}

/// Validates the trailers of a response.
pub fn response_trailers(headers: &mut Headers) -> Checked<HeadInfo> {
    drop_connection_specific(headers);
    trailers(headers)
}

/// Validates a trailer section.
pub fn trailers(headers: &mut Headers) -> Checked<HeadInfo> {
    headers.trim();
    let mut pseudo = Pseudo { over: true, ..Pseudo::default() };
    for field in headers.iter() {
        if field.id.is_pseudo() {
            return Err("pseudo-header in trailers");
        }
        pseudo.regular(field, &mut HeadInfo::default())?;
        check_value(field.value)?;
    }
    Ok(HeadInfo::default())
}

/// The pseudo-headers seen so far, and whether a regular field has ended them.
#[derive(Default)]
struct Pseudo<'a> {
    method: Option<&'a [u8]>,
    scheme: Option<&'a [u8]>,
    authority: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    over: bool,
}

/// Sets a pseudo-header, which may come once and only before regular fields.
fn once<'a>(slot: &mut Option<&'a [u8]>, over: bool, field: Field<'a>) -> Checked<()> {
    if over {
        return Err("pseudo-header after a regular field");
    }
    match slot.replace(field.value) {
        None => Ok(()),
        Some(_) => Err("pseudo-header given twice"),
    }
}

impl Pseudo<'_> {
    fn regular(&mut self, field: Field<'_>, info: &mut HeadInfo) -> Checked<()> {
        self.over = true;
        match field.id {
            Name::Other => check_name(field.name),
            id if id.is_pseudo() => Err("pseudo-header that does not belong here"),
            Name::Connection
            | Name::KeepAlive
            | Name::ProxyConnection
            | Name::TransferEncoding
            | Name::Upgrade => Err("connection-specific field"),
            Name::Te if !field.value.eq_ignore_ascii_case(b"trailers") => Err("te is not trailers"),
            Name::ContentLength => {
                let length = parse_length(field.value)?;
                match info.content_length.replace(length) {
                    Some(_) => Err("content-length given twice"),
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

fn check_target(pseudo: &Pseudo<'_>, host: Option<&[u8]>) -> Checked<()> {
    let method = pseudo.method.ok_or("no :method")?;
    if !is_token(method) {
        return Err(":method is not a token");
    }
    let authority = pseudo.authority;
    // Without :authority, `host` is the request's authority.
    if let Some(authority) = authority.or(host) {
        if authority.contains(&b'@') {
            return Err("userinfo in :authority");
        }
        if !authority.iter().all(|b| b.is_ascii_graphic()) || authority.contains(&b'/') {
            return Err(":authority is not a host");
        }
        if host.is_some_and(|host| !authority::same(host, authority, pseudo.scheme)) {
            return Err("host differs from :authority");
        }
    }
    if method == b"CONNECT" {
        let alone = pseudo.scheme.is_none() && pseudo.path.is_none() && authority.is_some();
        return if alone { Ok(()) } else { Err("CONNECT takes :authority alone") };
    }
    let scheme = pseudo.scheme.ok_or("no :scheme")?;
    let in_scheme = |b: &u8| b.is_ascii_alphanumeric() || b"+-.".contains(b);
    if !scheme.first().is_some_and(u8::is_ascii_alphabetic) || !scheme.iter().all(in_scheme) {
        return Err(":scheme is not a scheme");
    }
    check_path(pseudo.path.ok_or("no :path")?, method)
}

fn check_path(path: &[u8], method: &[u8]) -> Checked<()> {
    match path {
        b"" => Err(":path is empty"),
        b"*" if method == b"OPTIONS" => Ok(()),
        [b'/', ..] if path.iter().any(|&b| b <= b' ' || b == 0x7f || b == b'#') => {
            Err(":path has a character that no path has")
        }
        [b'/', ..] => Ok(()),
        _ => Err(":path does not begin with /"),
    }
}

/// Bytes allowed in a field name: token characters in lower case.
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let allowed = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz";
    let mut i = 0;
    while i < allowed.len() {
        table[allowed[i] as usize] = true;
        i += 1;
    }
    table
};

fn check_name(name: &[u8]) -> Checked<()> {
    let good = !name.is_empty() && name.iter().all(|&b| NAME_BYTES[usize::from(b)]);
    if good { Ok(()) } else { Err("field name with a forbidden character") }
}

fn is_token(bytes: &[u8]) -> bool {
    let token = |b: &u8| NAME_BYTES[usize::from(b.to_ascii_lowercase())];
    !bytes.is_empty() && bytes.iter().all(token)
}

fn check_value(value: &[u8]) -> Checked<()> {
    let forbidden = |b: &u8| matches!(b, 0 | b'\n' | b'\r');
    if has_control(value) && value.iter().any(forbidden) {
        return Err("field value with a forbidden character");
    }
    Ok(())
}

/// Whether any byte is below 14, eight at a time ("Bit Twiddling Hacks", hasless).
fn has_control(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let below = |word: u64| word.wrapping_sub(ONES * 14) & !word & (ONES * 128) != 0;
    let (words, rest) = bytes.as_chunks();
    words.iter().any(|word| below(u64::from_ne_bytes(*word))) || rest.iter().any(|&b| b < 14)
}

/// The number in a `content-length`.
pub fn parse_length(value: &[u8]) -> Checked<u64> {
    const BAD: &str = "content-length is not a number";
    if value.is_empty() {
        return Err(BAD);
    }
    value.iter().try_fold(0u64, |sum, &b| {
        let digit = b.is_ascii_digit().then(|| u64::from(b - b'0'));
        digit.and_then(|d| sum.checked_mul(10)?.checked_add(d)).ok_or(BAD)
    })
}

/// Unknown status classes are left to the client (RFC 9110, section 15).
fn parse_status(value: &[u8]) -> Checked<u16> {
    match value {
        [b'1', b'0', b'1'] => Err("status 101 has no place in HTTP/2"),
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |d: &u8| u16::from(d - b'0');
            Ok(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => Err(":status is not a status"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(fields: &[(&str, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in fields {
            headers.add_named(name.as_bytes(), value.as_bytes());
        }
        headers
    }

    const GOOD: [(&str, &str); 4] =
        [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "a:1")];

    fn with(extra: &[(&str, &str)]) -> Headers {
        block(&[&GOOD[..], extra].concat())
    }

    fn request(mut headers: Headers) -> Checked<HeadInfo> {
        super::request(&mut headers)
    }

    fn response(fields: &[(&str, &str)]) -> Checked<HeadInfo> {
        super::response(&mut block(fields))
    }

    #[test]
    fn good_requests_pass() {
        assert!(request(block(&GOOD)).is_ok());
        assert!(request(with(&[("te", "trailers"), ("host", "A:1")])).is_ok());
        assert!(request(with(&[("host", "a.:1")])).is_ok());
        let usual = [&GOOD[..3], &[(":authority", "shop.example"), ("host", "Shop.Example.:80")]];
        assert!(request(block(&usual.concat())).is_ok());
        let info = request(with(&[("content-length", "12")]));
        assert_eq!(info.map(|f| f.content_length), Ok(Some(12)));
        assert!(request(block(&[(":method", "CONNECT"), (":authority", "a:1")])).is_ok());
        let options = [(":method", "OPTIONS"), (":scheme", "http"), (":path", "*")];
        assert!(request(block(&options)).is_ok());
    }

    #[test]
    fn malformed_requests_are_told_apart() {
        for extra in [
            &[("connection", "close")][..],
            &[("te", "gzip")],
            &[("transfer-encoding", "chunked")],
            &[("Upper", "x")],
            &[("", "x")],
            &[("a b", "x")],
            &[("x", "a\r\nb")],
            &[("x", "a\0")],
            &[(":path", "/again")],
            &[(":unknown", "x")],
            &[(":status", "200")],
            &[("x", "y"), (":method", "GET")],
            &[("host", "other")],
            &[("host", "a:80")],
            &[("host", "a")],
            &[("host", "a:1"), ("host", "a:1")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "1"), ("content-length", "2")],
            &[("content-length", "-1")],
            &[("content-length", "99999999999999999999")],
        ] {
            assert!(request(with(extra)).is_err(), "{extra:?}");
        }
        for (at, value) in [
            (2, "relative"),
            (2, ""),
            (2, "/a b"),
            (2, "*"),
            (1, "http://x"),
            (3, "u@a"),
            (0, "G T"),
        ] {
            let mut fields = GOOD;
            fields[at].1 = value;
            assert!(request(block(&fields)).is_err(), "{fields:?}");
        }
        for missing in 0..3 {
            let mut fields = GOOD.to_vec();
            fields.remove(missing);
            assert!(request(block(&fields)).is_err(), "{fields:?}");
        }
    }

    #[test]
    fn responses_and_trailers() {
        for (status, number) in [("204", 204), ("599", 599), ("600", 600), ("999", 999)] {
            assert_eq!(response(&[(":status", status)]).map(|f| f.status), Ok(number));
        }
        for bad in ["", "20", "101", "2000", "abc", "099", "1000", "20 "] {
            assert!(response(&[(":status", bad)]).is_err(), "{bad}");
        }
        assert!(response(&[("x", "y")]).is_err());
        assert!(response(&[(":status", "200"), (":path", "/")]).is_err());
        assert!(trailers(&mut block(&[("grpc-status", "0")])).is_ok());
        assert!(trailers(&mut block(&[(":status", "200")])).is_err());
    }

    #[test]
    fn blanks_around_a_value_are_no_part_of_it() {
        let fields =
            [("te", " trailers\t"), ("content-length", "7 "), ("host", " a:1 "), ("x", " y ")];
        let mut headers = with(&fields);
        assert_eq!(super::request(&mut headers).map(|info| info.content_length), Ok(Some(7)));
        assert_eq!(headers.get_named(b"x"), Some(&b"y"[..]));
        for pseudo in 0..GOOD.len() {
            for value in [format!("{} ", GOOD[pseudo].1), format!("\t{}", GOOD[pseudo].1)] {
                let mut fields = GOOD;
                fields[pseudo].1 = &value;
                assert!(request(block(&fields)).is_err(), "{fields:?}");
            }
        }
        for bad in ["a\n", "\ra", "\0", " a\r\n "] {
            assert!(request(with(&[("x", bad)])).is_err(), "{bad:?}");
            assert!(trailers(&mut block(&[("grpc-message", bad)])).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_a_backend_says_of_its_connection_goes_no_further() {
        let of_connection = [
            ("connection", "keep-alive"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2,h2c"),
            ("te", "gzip"),
        ];
        for field in of_connection {
            let mut head = block(&[(":status", "200"), field, ("x", "y")]);
            assert!(super::response(&mut head).is_ok(), "{field:?}");
            assert_eq!(head, block(&[(":status", "200"), ("x", "y")]));
            let mut last = block(&[field, ("grpc-status", "0")]);
            assert!(trailers(&mut last.clone()).is_err(), "of a request: {field:?}");
            assert!(response_trailers(&mut last).is_ok(), "{field:?}");
            assert_eq!(last, block(&[("grpc-status", "0")]));
        }
    }

    #[test]
    fn a_length_that_a_backend_repeats_is_one() {
        let length = |value| ("content-length", value);
        let mut head = block(&[(":status", "200"), length("5"), ("x", "y"), length("5 ")]);
        let info = super::response(&mut head);
        assert_eq!(info.map(|info| info.content_length), Ok(Some(5)));
        assert_eq!(head, block(&[(":status", "200"), length("5"), ("x", "y")]));
        for lengths in [&[length("5"), length("6")][..], &[length("x")], &[length("")]] {
            assert!(response(&[&[(":status", "200")], lengths].concat()).is_err(), "{lengths:?}");
        }
    }
}
