//! The same page in other forms: protocol buffers and gzip.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::time::Duration;

use equipoise::telemetry::names::RETRIES;
use flate2::read::GzDecoder;
use prost::Message as _;

use super::page::{Labels, Page};
use super::{FAILED, Gateway, OK, backend, counter, recent, service, stats};
use crate::support::eventually;
use crate::support::prometheus::Prometheus;

#[allow(missing_docs, clippy::all)]
mod proto {
    tonic::include_proto!("io.prometheus.client");
}

const PROTOBUF: &str = "Accept: application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.9, */*;q=0.1\r\n";

/// One service with latencies from 50 us to 4 s, and names that need care.
async fn gateway() -> Gateway {
    let mut rng = fastrand::Rng::with_seed(5);
    let backends = ["a:1", "b \"quoted\" \\:2"].map(|address| {
        let mut backend = backend(address);
        for _ in 0..20_000 {
            let micros = 50.0 * (1.0 - rng.f64()).powf(-1.2);
            stats(&backend).record_call(OK, Duration::from_micros(micros.min(4e6) as u64));
            stats(&backend).record_start(Duration::from_micros((micros / 2.0) as u64));
        }
        stats(&backend).record_call(FAILED, Duration::from_millis(3));
        stats(&backend).record_stream_opened();
        backend.recent = recent(Some(0.99), [Some(0.1); 4]);
        backend
    });
    let mut orders = service("orders\n", backends.into());
    orders.counters = vec![counter(&RETRIES, &["success"], 3)];
    Gateway::start(vec![orders]).await
}

fn families(mut body: &[u8]) -> Vec<proto::MetricFamily> {
    let mut families = Vec::new();
    while !body.is_empty() {
        families.push(proto::MetricFamily::decode_length_delimited(&mut body).unwrap());
    }
    families
}

/// Those whose values differ from page to page.
fn restless(name: &str) -> bool {
    name.starts_with("process_") || name.contains("stream_age")
}

#[tokio::test]
async fn protobuf_tells_what_text_tells() {
    let gateway = gateway().await;
    let text = gateway.scrape().await;
    let (head, body) = gateway.page(PROTOBUF).await;
    assert!(head.contains("content-type: application/vnd.google.protobuf; proto="), "{head}");
    let families = families(&body);
    let names: Vec<&str> = families.iter().map(|family| &*family.name).collect();
    assert_eq!(names, text.0.keys().collect::<Vec<_>>());
    for family in &families {
        let told = &text.0[&family.name];
        assert_eq!(family.help, told.help);
        assert_eq!(family.r#type().as_str_name().to_lowercase(), told.kind);
        let mut series: BTreeMap<(String, Labels), f64> = BTreeMap::new();
        for metric in &family.metric {
            let labels = metric.label.iter().map(|label| (label.name.clone(), label.value.clone()));
            let labels: Labels = labels.collect();
            let mut add = |suffix: &str, le: Option<String>, value: f64| {
                let mut labels = labels.clone();
                labels.extend(le.map(|le| ("le".to_owned(), le)));
                let name = format!("{}{suffix}", family.name);
                assert!(series.insert((name, labels), value).is_none());
            };
            match (&metric.gauge, &metric.counter, &metric.histogram) {
                (Some(gauge), None, None) => add("", None, gauge.value),
                (None, Some(counter), None) => add("", None, counter.value),
                (None, None, Some(histogram)) => {
                    for bucket in &histogram.bucket {
                        let le = bucket.upper_bound.to_string();
                        add("_bucket", Some(le), bucket.cumulative_count as f64);
                    }
                    add("_bucket", Some("+Inf".into()), histogram.sample_count as f64);
                    add("_count", None, histogram.sample_count as f64);
                    add("_sum", None, histogram.sample_sum);
                }
                _ => panic!("{metric:?}"),
            }
        }
        let told = told.samples.iter();
        let told: BTreeMap<_, _> =
            told.map(|s| ((s.name.clone(), s.labels.clone()), s.value)).collect();
        let same = if restless(&family.name) { told.len() == series.len() } else { told == series };
        assert!(same, "{}: {told:?} {series:?}", family.name);
    }
}

/// The counts of a native histogram by their bounds.
fn native(histogram: &proto::Histogram) -> Vec<(f64, i64)> {
    let (mut index, mut count, mut deltas) = (0, 0, histogram.positive_delta.iter());
    let mut buckets = Vec::new();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().unwrap();
            buckets.push((f64::from(index) / f64::from(1 << histogram.schema), count));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets.into_iter().map(|(power, count)| (power.exp2(), count)).collect()
}

#[tokio::test]
async fn native_histograms_have_every_sample_at_its_place() {
    let gateway = gateway().await;
    let (_, body) = gateway.page(PROTOBUF).await;
    let families = families(&body);
    let histograms = families.iter().flat_map(|family| &family.metric);
    let histograms: Vec<_> = histograms.filter_map(|metric| metric.histogram.as_ref()).collect();
    assert_eq!(histograms.len(), 3, "durations of each backend, starts of the service");
    for histogram in histograms {
        let buckets = native(histogram);
        let counted: i64 = buckets.iter().map(|(_, count)| count).sum();
        assert_eq!(histogram.zero_count as i64 + counted, histogram.sample_count as i64);
        assert!(
            buckets.iter().all(|(bound, count)| *count > 0 && *bound > histogram.zero_threshold)
        );
        // What is counted under an exact bound can be in no bucket above the next native one.
        for exact in &histogram.bucket {
            let below = |limit: f64| {
                let below = buckets.iter().filter(|(bound, _)| *bound <= limit);
                histogram.zero_count as i64 + below.map(|(_, count)| count).sum::<i64>()
            };
            let count = exact.cumulative_count as i64;
            let (less, more) = (below(exact.upper_bound / 1.03), below(exact.upper_bound * 1.03));
            assert!(less <= count && count <= more, "{}: {less} {count} {more}", exact.upper_bound);
        }
    }
}

#[tokio::test]
async fn gzip_is_the_same_page_and_a_tenth_of_it() {
    let gateway = gateway().await;
    let (plain_head, plain) = gateway.page("").await;
    assert!(!plain_head.contains("content-encoding"), "{plain_head}");
    let (head, body) = gateway.page("Accept-Encoding: deflate, gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    assert!(body.len() * 4 < plain.len(), "{} of {}", body.len(), plain.len());
    let mut text = String::new();
    GzDecoder::new(&*body).read_to_string(&mut text).unwrap();
    let (page, plain) = (Page::parse(&text), Page::parse(str::from_utf8(&plain).unwrap()));
    assert!(page.0.keys().eq(plain.0.keys()));
    for (name, family) in page.0.iter().filter(|(name, _)| !restless(name)) {
        assert_eq!(format!("{family:?}"), format!("{:?}", plain.0[name]));
    }
    let (head, body) = gateway.page(&format!("{PROTOBUF}Accept-Encoding: gzip\r\n")).await;
    assert!(head.contains("content-encoding: gzip") && head.contains("protobuf"), "{head}");
    let mut bytes = Vec::new();
    GzDecoder::new(&*body).read_to_end(&mut bytes).unwrap();
    assert_eq!(families(&bytes).len(), page.0.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_native_histograms_and_answers_quantiles() {
    let backend = backend("a:1");
    let mut samples: Vec<u64> = (0..50_000).map(|i| 2_000 + i * i / 250_000).collect();
    for micros in &samples {
        stats(&backend).record_call(OK, Duration::from_micros(*micros));
    }
    samples.sort_unstable();
    let gateway = Gateway::start(vec![service("orders", vec![backend])]).await;
    let none = tempfile::tempdir().unwrap();
    let feature = ["--enable-feature=native-histograms"];
    let prometheus = Prometheus::with(gateway.address, none.path(), &feature);
    for q in [0.5, 0.9, 0.99, 0.999] {
        let exact = samples[(q * samples.len() as f64) as usize] as f64 / 1e6;
        let query = format!("histogram_quantile({q}, equipoise_request_duration_seconds)");
        eventually(&query, async || {
            let found = prometheus.query(&query).await;
            let [read] = found[..] else { return false };
            assert!((read / exact - 1.0).abs() < 0.025, "{q}: {read} against {exact}");
            true
        })
        .await;
    }
    let classic = prometheus.query("equipoise_request_duration_seconds_bucket").await;
    assert!(classic.is_empty(), "native histograms are one series each");
    assert_eq!(prometheus.query("equipoise_backend_weight").await, [3.0]);
    assert_eq!(prometheus.query("equipoise_requests_total").await, [50_000.0]);
}
