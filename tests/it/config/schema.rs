//! The schema and `check` agree on the examples, and on hundreds of mutations of them.

mod mistakes;

use std::path::Path;

use equipoise::config;
use jsonschema::Validator;

use super::examples_with_certificates;
use crate::support::yaml;
use mistakes::{Mistake, mistakes};

/// Errors of `check` that no schema can express: by message, with the reason.
const BEYOND_A_SCHEMA: &[(&str, &[&str])] = &[
    ("which names there are", &["there is no service `"]),
    ("what a service speaks that is named elsewhere", &["speaks HTTP/1.1"]),
    (
        "what stands twice under different texts, or in two places",
        &[
            "is listed twice",
            "is listened on twice",
            " takes in ",
            "are one file",
            "the same match stands in two routes",
            "two routes are called",
            "is changed twice",
            "is asked for twice",
        ],
    ),
    (
        "what a file holds",
        &[
            "No such file",
            "it is not a file",
            "holds no ",
            "cannot be used",
            "is not that of",
            "Is a directory",
        ],
    ),
    ("what the environment holds", &["the environment has no variable"]),
    ("which numbers are primes, and whether they ascend", &["is not prime", "have to ascend"]),
    ("how much a number in quotes is that has an exponent", &["`1e9` is"]),
    (
        "the grammar of regular expressions",
        &["is not a regular expression", "1 to 1024 characters"],
    ),
    ("which of several keys has to be there", &["by exactly one source", "or `discover: …`"]),
    ("which of two durations is longer", &["is longer than `max_time`"]),
    (
        "the digits of a number that is not quoted",
        &["is no mode of a socket", "lets nobody connect"],
    ),
];

fn validator() -> Validator {
    jsonschema::draft202012::new(&serde_json::from_str(&config::schema()).unwrap()).unwrap()
}

/// The result of `check`: valid, errors that a schema could express, or only errors that none can.
enum Verdict {
    Right,
    Wrong(Vec<String>),
    BeyondASchema(&'static str),
}

fn verdict(text: &str, base: &Path) -> Verdict {
    let Err(report) = config::parse(text, base) else { return Verdict::Right };
    let errors: Vec<String> = report.errors().iter().map(ToString::to_string).collect();
    let excuse = |error: &String| {
        let says = |(_, messages): &&(&str, &[&str])| messages.iter().any(|it| error.contains(it));
        BEYOND_A_SCHEMA.iter().find(says).map(|(why, _)| *why)
    };
    match errors.iter().map(excuse).collect::<Option<Vec<_>>>() {
        Some(excuses) => Verdict::BeyondASchema(excuses[0]),
        None => Verdict::Wrong(errors),
    }
}

#[test]
fn the_examples_are_right() {
    let validator = validator();
    let folder = examples_with_certificates();
    for name in ["minimal", "full", "tls", "edge"] {
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.yaml"))).unwrap();
        let wrong: Vec<_> =
            validator.iter_errors(&yaml::read(&text)).map(|e| e.to_string()).collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn the_schema_and_check_agree_on_every_mistake() {
    let validator = validator();
    let folder = examples_with_certificates();
    let mut wrong = Vec::new();
    let (mut refused, mut held, mut beyond) = (0, 0, std::collections::BTreeMap::new());
    for Mistake { what, file } in mistakes(folder.path()) {
        let by_schema = !validator.is_valid(&file);
        match (verdict(&file.to_string(), folder.path()), by_schema) {
            (Verdict::Right, false) => held += 1,
            (Verdict::Wrong(_), true) => refused += 1,
            (Verdict::BeyondASchema(why), false) => *beyond.entry(why).or_insert(0) += 1,
            // A file with another error as well may be refused.
            (Verdict::BeyondASchema(_), true) => refused += 1,
            (Verdict::Right, true) => {
                let errors =
                    validator.iter_errors(&file).map(|e| format!("{} {e}", e.instance_path()));
                let errors =
                    errors.map(|e| e.chars().take(300).collect::<String>()).collect::<Vec<_>>();
                wrong.push(format!("{what}: the schema alone refuses it: {errors:?}"));
            }
            (Verdict::Wrong(errors), false) => {
                wrong.push(format!("{what}: check alone refuses it: {errors:?}"))
            }
        }
    }
    let wrong_ones = wrong.join("\n");
    assert!(wrong.is_empty(), "{} disagreements:\n{wrong_ones}", wrong.len());
    println!("{refused} refused, {held} right, {beyond:?}");
    assert!(refused > 500, "{refused} refused, {held} right, {beyond:?}");
}
