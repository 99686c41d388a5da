//! A new policy takes one file and one row.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::{POLICIES, policy};
use super::configured;
use crate::text::{ParamValue, Params};

/// Files in `src/balance/` that are no policy.
const HELPERS: [&str; 11] = [
    "backlog",
    "bound",
    "explain",
    "hashing",
    "key",
    "near_zone",
    "sampling",
    "slow_start",
    "sorted",
    "streams",
    "tests",
];

#[test]
fn each_policy_is_one_file_and_one_row() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/balance");
    let files: BTreeSet<String> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| !HELPERS.contains(&name.as_str()))
        .collect();
    let rows: BTreeSet<String> = POLICIES.iter().map(|row| row.name().to_owned()).collect();
    assert_eq!(files, rows);
    assert_eq!(rows.len(), POLICIES.len(), "names are unique");
}

#[test]
fn policies_are_found_by_name() {
    for row in POLICIES {
        assert_eq!(policy(row.name()).map(|found| found.name()), Some(row.name()));
    }
    assert!(policy("p2c").is_none());
    assert_eq!(POLICIES[0].name(), "p2c_ewma", "the default");
}

#[test]
fn an_unknown_setting_is_refused_by_every_policy() {
    for row in POLICIES {
        let unknown = [("colour".into(), ParamValue::Text("red".into()))];
        let error = row.configure(Params::new(unknown)).unwrap_err();
        assert!(error.0.iter().any(|bad| bad.key == "colour"), "{error}");
        assert!(!format!("{:?}", configured(*row)).is_empty());
    }
}

#[test]
fn p2c_reads_its_settings() {
    let text = |key: &str, value: &str| (key.to_owned(), ParamValue::Text(value.into()));
    let p2c = policy("p2c_ewma").unwrap();
    let entries = [text("decay", "2s"), text("default_rtt", "5ms"), text("penalty", "1s")];
    let ewma = p2c.configure(Params::new(entries)).unwrap().ewma();
    let read = [ewma.decay, ewma.default_rtt, ewma.penalty].map(|d| d.as_millis());
    assert_eq!(read, [2000, 5, 1000]);
    let error = p2c.configure(Params::new([text("decay", "0s")])).unwrap_err();
    assert_eq!(error.to_string(), "decay: `0s` is out of range: write 1us or more");
}
