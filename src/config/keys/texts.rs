//! Named text formats, each with a regular expression equivalent to its parser.

use std::time::Duration;

use super::pattern::{self, range};
use crate::route::RetryOn;
use crate::text::keys::{Plain, Text, ValueKind};

const fn form(name: &'static str, range: &'static str, pattern: fn() -> String) -> Text {
    Text { name, range, pattern, plain: Plain::Never }
}

/// As `form`, for text that YAML may read as a number or a boolean.
const fn any(name: &'static str, range: &'static str, pattern: fn() -> String) -> Text {
    Text { name, range, pattern, plain: Plain::Any }
}

fn some() -> String {
    r"[\s\S]+".into()
}

fn port(least: u64) -> String {
    format!("0*{}", range(least, 65_535))
}

fn ipv4() -> String {
    let octet = range(0, 255);
    format!(r"(?:{octet}\.){{3}}{octet}")
}

/// The grammar of RFC 3986.
fn ipv6() -> String {
    let h = "[0-9A-Fa-f]{1,4}";
    let last = format!("(?:{h}:{h}|{})", ipv4());
    [
        format!("(?:{h}:){{6}}{last}"),
        format!("::(?:{h}:){{5}}{last}"),
        format!("(?:{h})?::(?:{h}:){{4}}{last}"),
        format!("(?:(?:{h}:){{0,1}}{h})?::(?:{h}:){{3}}{last}"),
        format!("(?:(?:{h}:){{0,2}}{h})?::(?:{h}:){{2}}{last}"),
        format!("(?:(?:{h}:){{0,3}}{h})?::{h}:{last}"),
        format!("(?:(?:{h}:){{0,4}}{h})?::{last}"),
        format!("(?:(?:{h}:){{0,5}}{h})?::{h}"),
        format!("(?:(?:{h}:){{0,6}}{h})?::"),
    ]
    .join("|")
}

/// A DNS name whose last label is not numeric, else it would be a malformed IPv4 address.
fn dns_name() -> String {
    let label = "[0-9A-Za-z_](?:[0-9A-Za-z_-]{0,61}[0-9A-Za-z_])?";
    format!(r"(?:{label}\.)*(?![0-9]+(?:$|[.:])){label}\.?")
}

/// `unix:` and a path whose last segment is neither `.` nor `..`.
fn socket() -> String {
    let part = r"[^/\x00-\x1f\x7f-\x9f]+";
    format!(r"unix:(?!//(?:[^/]|$))(?:/+{part})*/+(?!\.\.?(?:/|$)){part}(?:/+\.?(?=/|$))*")
}

fn san() -> String {
    let label = "[0-9A-Za-z_-]{1,63}";
    let uri = r"[A-Za-z][0-9A-Za-z+.-]*://[!-)+-.0-~][!-)+-~]*(?:/\*)?";
    format!(r"(?:\*\.)?{label}(?:\.{label})*|{uri}")
}

fn listen() -> String {
    let (v4, v6, port) = (ipv4(), ipv6(), port(0));
    format!(r"{v4}:{port}|\[(?:{v6})(?:%[0-9]+)?\]:{port}|{}", socket())
}

fn endpoint() -> String {
    format!("{}|{}", host_and_port(), socket())
}

fn host_and_port() -> String {
    let (v4, v6, dns, port) = (ipv4(), ipv6(), dns_name(), port(1));
    format!(r"(?:{v4}|\[(?:{v6})\]|{dns}):{port}")
}

fn etcd_endpoint() -> String {
    let (v4, v6, dns, port) = (ipv4(), ipv6(), dns_name(), port(1));
    format!(r"https?://(?:{v4}|\[(?:{v6})\]|{dns}):{port}/?")
}

fn name_server() -> String {
    let (v4, v6, port) = (ipv4(), ipv6(), port(0));
    format!(r"{v4}(?::{port})?|(?:{v6})|\[(?:{v6})(?:%[0-9]+)?\]:{port}")
}

fn network() -> String {
    let (v4, v6) = (ipv4(), ipv6());
    format!("unix|{v4}(?:/{})?|(?:{v6})(?:/{})?", range(0, 32), range(0, 128))
}

fn server_name() -> String {
    format!("{}|{}|{}", ipv4(), ipv6(), dns_name())
}

/// The host of a request: a name, or an IPv6 address in brackets.
fn host() -> String {
    let label = "[0-9A-Za-z_-]{1,63}";
    format!(r"{label}(?:\.{label})*\.?|\[(?:{})\]", ipv6())
}

/// A host with an optional port.
fn authority() -> String {
    format!("(?:{})(?::{})?", host(), port(1))
}

fn statuses() -> String {
    "[2-5][0-9]{2}(?:-[2-5][0-9]{2})?".into()
}

fn match_host() -> String {
    let label = "[0-9A-Za-z_-]{1,63}";
    format!(r"\*\.{label}(?:\.{label})*\.?|{}", host())
}

/// An octal file mode with at least one write bit.
fn mode() -> String {
    let write = "[2367]";
    let digit = "[0-7]";
    format!("(?:0o)?0?(?:{write}{digit}{digit}|{digit}{write}{digit}|{digit}{digit}{write})")
}

fn bucket() -> String {
    let units = [("us", 10, 900_000_000), ("ms", 1, 900_000), ("s", 1, 900), ("m", 1, 15)];
    let units = units.map(|(unit, least, most)| format!(r"0*{}\s*{unit}", range(least, most)));
    let seconds = range(1, 899);
    let seconds = format!(r"{seconds}(?:\.[0-9]*)?|900(?:\.0*)?|\.0{{0,4}}[1-9][0-9]*");
    format!(r"{}|\+?0*(?:{seconds})|{EXPONENT}", units.join("|"))
}

/// Numbers in exponent notation, whose range no pattern can check.
const EXPONENT: &str = r"\+?[0-9.]+[Ee][+-]?[0-9]+";

/// Token characters of header names.
fn token() -> String {
    "[!#$%&'*+.^_`|~0-9A-Za-z-]+".into()
}

/// Any header name but `host`.
fn header() -> String {
    format!("(?![Hh][Oo][Ss][Tt]$){}", token())
}

/// Header names that filters may edit: any but `words`, case-insensitively.
fn header_edit() -> String {
    let fixed = [
        "host",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "content-length",
        "transfer-encoding",
        "grpc-encoding",
        "grpc-message",
        "grpc-status",
    ];
    let either = |c: char| match c {
        '-' => "-".to_owned(),
        c => format!("[{}{c}]", c.to_ascii_uppercase()),
    };
    let fixed = fixed.map(|name| name.chars().map(either).collect::<String>());
    format!("(?!(?:{})$){}", fixed.join("|"), token())
}

fn retry_on() -> String {
    let codes: Vec<String> = RetryOn::codes().collect();
    format!("{}|connect|reset|timeout|0*5[0-9]{{2}}", codes.join("|"))
}

fn hedge_delay() -> String {
    let fixed = ValueKind::Duration(Duration::from_millis(1), Duration::from_secs(60));
    format!("p95|{}", pattern::of(fixed).unwrap_or_default())
}

/// A label of RFC 1123 in small letters.
fn label() -> String {
    "[0-9a-z](?:[0-9a-z-]{0,61}[0-9a-z])?".into()
}

fn kubernetes_port() -> String {
    format!("{}|(?![0-9]+$){}", port(1), label())
}

fn ratio() -> String {
    r"0+(?:\.[0-9]{1,4})?|0*1(?:\.0{1,4})?".into()
}

pub static LISTEN: Text = form("IP and port, or unix:path", "", listen);
pub static CONTROL_ADDRESS: Text =
    form("IP and port, unix:path, or `off`", "", || format!("off|{}", listen()));
pub static CONTROL_SOCKET: Text =
    form("path, or `off`", "", || format!("off|{}", socket().replacen("unix:", "(?:unix:)?", 1)));
pub static NAME_PATTERN: Text = any("name with `*`", "512 characters", || "[!-~]{1,512}".into());
pub static ENDPOINT_ADDRESS: Text = form("host:port or unix:path", "", endpoint);
pub static HOST_AND_PORT: Text = form("host:port", "", host_and_port);
pub static DNS_NAME: Text =
    Text { name: "name", range: "", pattern: dns_name, plain: Plain::Booleans };
pub static ETCD_ENDPOINT: Text = form("URL", "", etcd_endpoint);
pub static ETCD_PREFIX: Text = any("text", "", || r"[\s\S]*[^/][\s\S]*".into());
pub static NAME_SERVER: Text = form("name server", "", name_server);
pub static NETWORK: Text = form("network", "", network);
pub static ASKED_NAME: Text =
    any("host", "", || r"(\*\.)?[0-9A-Za-z_-]{1,63}(\.[0-9A-Za-z_-]{1,63})*".into());
pub static SERVER_NAME: Text =
    Text { name: "name", range: "", pattern: server_name, plain: Plain::Booleans };
pub static MODE: Text =
    Text { name: "octal digits", range: "", pattern: mode, plain: Plain::Integers(2, 777) };
pub static FILE: Text = any("file", "4 MiB", some);
pub static SAN: Text = any("subjectAltName", "", san);
pub static TOKEN_FILE: Text = any("file of tokens", "1 MiB", some);
pub static SPIFFE: Text = form("SPIFFE id", "", || r"spiffe://[!-)+-.0-~][!-)+-~]*(?:/\*)?".into());
pub static JOURNAL_FILE: Text = any("file", "", some);
pub static BUCKET: Text = Text {
    name: "duration",
    range: "10us to 900s",
    pattern: bucket,
    plain: Plain::Numbers(0.000_01, 900.0),
};

pub static SERVICE_NAME: Text =
    any("name", "1 to 128 letters, digits, `-`, `_` and `.`", || "[0-9A-Za-z_.-]{1,128}".into());
pub static ZONE: Text = any("name", "256 characters at most", || "[ -~]{0,256}".into());
pub static SERVICE_REF: Text = any("name", "", some);
pub static METHOD: Text = form("gRPC method", "", || "/?[0-9A-Za-z_.]+/[0-9A-Za-z_.]+".into());

pub static ROUTE_NAME: Text = any("name", "1–128 letters, digits and `-_./:*+~`", || {
    "[0-9A-Za-z][0-9A-Za-z_./:*+~-]{0,127}".into()
});
pub static MATCH_HOST: Text = any("host", "", match_host);
pub static HOST: Text = any("host", "", host);
pub static GRPC: Text =
    any("name", "", || r"[0-9A-Za-z_]+(?:\.[0-9A-Za-z_]+)*(?:/[0-9A-Za-z_]+)?".into());
pub static EXPRESSION: Text = any("expression", "", some);
pub static PATH: Text = form("path", "", || r#"/[!"$->@-~]*"#.into());
pub static HTTP_METHOD: Text = form("word", "", || "(?!CONNECT$)[A-Z-]+".into());
pub static HEADER: Text = any("name", "", header);
pub static PARAMETER: Text = any("name", "", some);
pub static VALUE_TEXT: Text = any("text", "", || r"[\s\S]*".into());
pub static NONEMPTY: Text = any("text", "", some);
pub static HEADER_EDIT: Text = any("name", "", header_edit);
pub static HEADER_VALUE: Text = any("value", "", || r"(?:[!-~](?:[\t -~]{0,4094}[!-~])?)?".into());
pub static AUTHORITY: Text = any("host, or host:port", "", authority);
pub static HEALTH_SERVICE: Text = any("name", "256 characters", || "[!-~]{1,256}".into());
pub static STATUSES: Text = Text {
    name: "statuses",
    range: "200 to 599",
    pattern: statuses,
    plain: Plain::Integers(200, 599),
};
pub static PERCENTAGE: Text = form("percentage", "0% to 100%", || "0*(?:100|[0-9]{1,2})%".into());
pub static PERCENT: Text = Text {
    name: "number",
    range: "0.0001 to 100",
    pattern: || r"(?!0+(?:\.0+)?$)0*(?:100(?:\.0{1,4})?|[0-9]{1,2}(?:\.[0-9]{1,4})?)".into(),
    plain: Plain::Numbers(0.000_1, 100.0),
};
pub static RETRY_ON: Text = Text {
    name: "failure",
    range: "a gRPC code in small letters, 500 to 599, `connect`, `reset`, `timeout`",
    pattern: retry_on,
    plain: Plain::Integers(500, 599),
};
pub static HEDGE_DELAY: Text = form("duration or `p95`", "1ms to 1m", hedge_delay);
pub static KUBERNETES_NAME: Text = any("name", "1–63 small letters, digits and `-`", label);
pub static KUBERNETES_PORT: Text = any("name or number", "", kubernetes_port);
pub static RATIO: Text =
    Text { name: "number", range: "0 to 1", pattern: ratio, plain: Plain::Numbers(0.0, 1.0) };
