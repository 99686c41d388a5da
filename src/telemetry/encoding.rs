//! Content negotiation with a scraper: exposition format and compression.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};

/// An exposition format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The text format; the fallback.
    Text,
    /// Protocol buffers, the only format with native histograms.
    Protobuf,
}

impl Format {
    /// The value of the `content-type` header.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Format and compression of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// The exposition format.
    pub format: Format,
    /// Whether the body is gzipped.
    pub gzip: bool,
}

impl Encoding {
    /// Negotiates from `accept` and `accept-encoding`. The fallback is uncompressed text.
    pub fn negotiate(headers: &HeaderMap) -> Encoding {
        let mut best = (Format::Text, 0.0);
        for (range, quality) in ranges(headers, ACCEPT) {
            if let Some(format) = format(range)
                && quality > best.1
            {
                best = (format, quality);
            }
        }
        let quality = |coding: &str| {
            let of =
                |(range, quality)| (first(range).eq_ignore_ascii_case(coding)).then_some(quality);
            ranges(headers, ACCEPT_ENCODING).find_map(of)
        };
        let gzip = quality("gzip").or_else(|| quality("x-gzip")).or_else(|| quality("*"));
        Encoding { format: best.0, gzip: gzip.is_some_and(|quality| quality > 0.0) }
    }

    /// Compresses the page if that was negotiated.
    pub(super) fn encode(self, page: Vec<u8>) -> Vec<u8> {
        if !self.gzip {
            return page;
        }
        // Higher levels cost more time than the bytes they save are worth.
        let mut gzip = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
        let written = gzip.write_all(&page).and_then(|()| gzip.finish());
        written.unwrap_or_default() // writing to a Vec cannot fail
    }
}

/// The format of a media range; wildcards mean text.
fn format(range: &str) -> Option<Format> {
    let has = |wanted: &str| {
        range.split(';').skip(1).any(|parameter| parameter.trim().eq_ignore_ascii_case(wanted))
    };
    match &*first(range).to_ascii_lowercase() {
        "application/vnd.google.protobuf" => {
            let ours = has("proto=io.prometheus.client.MetricFamily") && has("encoding=delimited");
            ours.then_some(Format::Protobuf)
        }
        "text/plain" | "text/*" | "*/*" => Some(Format::Text),
        _ => None,
    }
}

fn first(range: &str) -> &str {
    range.split(';').next().unwrap_or_default().trim()
}

/// The items of a comma-separated header, each with its quality value.
fn ranges(headers: &HeaderMap, name: impl AsHeaderName) -> impl Iterator<Item = (&str, f32)> {
    let lists = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(|range| {
        let quality = range.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse().unwrap_or(0.0))
        });
        (range, quality.unwrap_or(1.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(accept: &str, encoding: &str) -> (Format, bool) {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        headers.insert(ACCEPT_ENCODING, encoding.parse().unwrap());
        let Encoding { format, gzip } = Encoding::negotiate(&headers);
        (format, gzip)
    }

    const PROTOBUF: &str = "application/vnd.google.protobuf;\
                            proto=io.prometheus.client.MetricFamily;encoding=delimited";

    #[test]
    fn prometheus_gets_protobuf_if_it_prefers_that() {
        let open_metrics = "application/openmetrics-text;version=1.0.0";
        let rest = "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (format!("{PROTOBUF},{open_metrics};q=0.75,{rest}"), Format::Protobuf),
            (format!("{open_metrics},{PROTOBUF};q=0.4,{rest}"), Format::Text),
            (format!("{PROTOBUF};q=0,{rest}"), Format::Text),
            (format!("{open_metrics},{rest}"), Format::Text),
            (PROTOBUF.replace("delimited", "text"), Format::Text),
            (PROTOBUF.replace(';', " ; "), Format::Protobuf),
            ("application/json".into(), Format::Text),
            ("*/*".into(), Format::Text),
        ] {
            assert_eq!(wanted(&accept, "identity"), (format, false), "{accept}");
        }
    }

    #[test]
    fn gzip_is_negotiated() {
        for (encoding, gzip) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0.1", true),
            ("*;q=0", false),
            ("br", false),
            ("", false),
            ("gzip;q=nonsense", false),
        ] {
            assert_eq!(wanted("*/*", encoding), (Format::Text, gzip), "{encoding}");
        }
        assert_eq!(
            Encoding::negotiate(&HeaderMap::new()),
            Encoding { format: Format::Text, gzip: false }
        );
    }
}
