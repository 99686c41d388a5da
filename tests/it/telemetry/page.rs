//! A strict reader of Prometheus' text format.

use std::collections::{BTreeMap, HashSet};

pub type Labels = BTreeMap<String, String>;

#[derive(Debug)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug)]
pub struct Sample {
    pub name: String,
    pub labels: Labels,
    pub value: f64,
}

#[derive(Debug)]
pub struct Page(pub BTreeMap<String, Family>);

impl Page {
    /// Reads a page; panics at the first thing that is not as the format wants it.
    pub fn parse(text: &str) -> Page {
        let mut families = BTreeMap::new();
        let mut series = HashSet::new();
        let mut lines = text.strip_suffix('\n').expect("ends its last line").split('\n').peekable();
        while let Some(line) = lines.next() {
            let help =
                line.strip_prefix("# HELP ").unwrap_or_else(|| panic!("HELP wanted: {line}"));
            let (name, help) = help.split_once(' ').unwrap();
            let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE ")).unwrap();
            let kind = kind.strip_prefix(name).and_then(|rest| rest.strip_prefix(' ')).unwrap();
            let mut samples = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with('#')) {
                let sample = parse_sample(line);
                assert!(belongs(&sample.name, name, kind), "{line} in {name}");
                assert!(
                    series.insert((sample.name.clone(), sample.labels.clone())),
                    "twice: {line}"
                );
                samples.push(sample);
            }
            assert!(!samples.is_empty(), "{name} is empty");
            let family = Family { kind: kind.into(), help: help.into(), samples };
            if kind == "histogram" {
                check_histograms(&family);
            }
            assert!(families.insert(name.to_owned(), family).is_none(), "{name} is there twice");
        }
        Page(families)
    }

    pub fn samples(&self, family: &str) -> &[Sample] {
        self.0.get(family).map_or(&[], |family| &family.samples)
    }

    /// The one value of the series with this name that has at least these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} {labels:?}"))
    }

    /// As `value`; none while there is no such series, as before the first request.
    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let all = self.0.values().flat_map(|family| &family.samples);
        let mut found = all.filter(|sample| sample.name == name && sample.has(labels));
        let value = found.next()?.value;
        assert!(found.next().is_none(), "several {name} {labels:?}");
        Some(value)
    }

    /// Checks that every request which came has one outcome, or is open.
    pub fn check_outcomes(&self) {
        let total = |family| self.samples(family).iter().map(|sample| sample.value).sum::<f64>();
        let accepted = total("equipoise_accepted_total");
        let (over, open) = (total("equipoise_outcomes_total"), total("equipoise_open_exchanges"));
        assert_eq!(accepted, over + open);
    }

    /// What Prometheus' `histogram_quantile` makes of a histogram.
    pub fn quantile(&self, family: &str, labels: &[(&str, &str)], q: f64) -> f64 {
        let bucket = format!("{family}_bucket");
        let samples = self.samples(family).iter();
        let buckets: Vec<(f64, f64)> = samples
            .filter(|sample| sample.name == bucket && sample.has(labels))
            .map(|sample| (number(&sample.labels["le"]), sample.value))
            .collect();
        let rank = q * buckets.last().unwrap().1;
        let i = buckets.iter().position(|(_, count)| *count >= rank).unwrap();
        let (lower, below) = if i == 0 { (0.0, 0.0) } else { buckets[i - 1] };
        let (upper, count) = buckets[i];
        lower + (upper - lower) * (rank - below) / (count - below)
    }
}

impl Sample {
    pub fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(name, value)| self.labels.get(*name).is_some_and(|v| v == value))
    }
}

fn belongs(sample: &str, family: &str, kind: &str) -> bool {
    match sample.strip_prefix(family) {
        Some("_bucket" | "_sum" | "_count") => kind == "histogram",
        Some("") => kind == "counter" || kind == "gauge",
        _ => false,
    }
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => parse_labels(rest),
        None => (Labels::new(), rest),
    };
    let value = value.strip_prefix(' ').unwrap_or_else(|| panic!("blank wanted: {line}"));
    Sample { name: name.into(), labels, value: number(value) }
}

fn parse_labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        let (name, value) = rest.split_once("=\"").unwrap();
        assert!(is_name(name), "label {name:?}");
        let (value, after) = parse_value(value);
        assert!(labels.insert(name.into(), value).is_none(), "label {name} is there twice");
        match after.split_at(1) {
            (",", more) => rest = more,
            ("}", more) => return (labels, more),
            (other, _) => panic!("{other:?} after a label"),
        }
    }
}

fn parse_value(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next().expect("a closing quote") {
            '"' => return (value, chars.as_str()),
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some(c @ ('\\' | '"')) => c,
                other => panic!("escape {other:?}"),
            }),
            c => value.push(c),
        }
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn number(text: &str) -> f64 {
    if text == "+Inf" { f64::INFINITY } else { text.parse().unwrap() }
}

fn check_histograms(family: &Family) {
    let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut counts = BTreeMap::new();
    let mut sums = HashSet::new();
    for Sample { name, labels, value } in family.samples.iter().cloned() {
        let mut labels = labels;
        let le = labels.remove("le");
        if name.ends_with("_bucket") {
            buckets.entry(labels).or_default().push((number(&le.unwrap()), value));
        } else if name.ends_with("_count") {
            counts.insert(labels, value);
        } else {
            sums.insert(labels);
        }
    }
    assert!(sums.len() == counts.len() && counts.len() == buckets.len());
    for (labels, buckets) in buckets {
        assert!(buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1), "{labels:?}");
        assert_eq!(*buckets.last().unwrap(), (f64::INFINITY, counts[&labels]));
        assert!(sums.contains(&labels));
    }
}
