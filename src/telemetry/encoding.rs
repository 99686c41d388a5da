//! What a scraper wants: the format of the page, and whether it is compressed.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, AsHeaderName};

/// The format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of text, for people and for everybody.
    Text,
    /// Protocol buffers, which have native histograms.
    Protobuf,
}

impl Format {
    /// As the header `content-type` says it.
    pub const fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// How a page is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Its format.
    pub format: Format,
    /// Whether it is compressed.
    pub gzip: bool,
}

impl Encoding {
    /// What the fields of a request ask for. Who asks for nothing that there is gets text.
    pub fn wanted(headers: &HeaderMap) -> Encoding {
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

    /// The page as it is sent.
    pub(super) fn encode(self, page: Vec<u8>) -> Vec<u8> {
        if !self.gzip {
            return page;
        }
        // Every further level costs more time than it saves bytes.
        let mut gzip = GzEncoder::new(Vec::with_capacity(page.len() / 8), Compression::fast());
        let written = gzip.write_all(&page).and_then(|()| gzip.finish());
        written.unwrap_or_default() // a vector takes all
    }
}

/// The format that a media range stands for. A range of several stands for text.
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

/// The items of a header's lists, each with its quality.
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
        let Encoding { format, gzip } = Encoding::wanted(&headers);
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
    fn who_takes_gzip_gets_it() {
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
            Encoding::wanted(&HeaderMap::new()),
            Encoding { format: Format::Text, gzip: false }
        );
    }
}
