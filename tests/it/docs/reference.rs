//! Files generated from the key definitions: the tables of `docs/configuration.md`, and
//! `docs/schema.json`. `RENEW=1 cargo test --test it renew` regenerates them.

use std::collections::{BTreeMap, HashSet};

use equipoise::balance::{self, POLICIES};
use equipoise::config;
use equipoise::text::keys::{Absent, Keys, Many, Row, Section, Shape, ValueKind};
use equipoise::text::units::{show_duration, show_size};

use super::root;
use crate::support::yaml;

/// The title of the table of top-level keys.
const TOP: &str = "top level";
const END: &str = "<!-- end of keys -->";

/// Every mapping of keys, by its path.
fn sections() -> BTreeMap<&'static str, &'static Section> {
    let mut found = BTreeMap::from([(TOP, config::keys().section())]);
    let settings = POLICIES.iter().filter_map(|policy| policy.settings());
    let mut waiting: Vec<&dyn Keys> = settings.chain([config::keys()]).collect();
    while let Some(keys) = waiting.pop() {
        let section = keys.section();
        if !section.path.is_empty() {
            found.insert(section.path, section);
        }
        waiting.extend(section.rows().filter_map(|row| match row.shape() {
            Shape::Mapping(keys) | Shape::Mappings(keys, _) | Shape::Named(_, keys, _) => {
                Some(keys)
            }
            Shape::Value(_) | Shape::Values(..) | Shape::NamedValues(..) => None,
        }));
    }
    found
}

fn name(kind: ValueKind) -> &'static str {
    match kind {
        ValueKind::Duration(..) => "duration",
        ValueKind::Size(..) => "size",
        ValueKind::Number(..) => "number",
        ValueKind::Words(_) => "word",
        ValueKind::Boolean => "boolean",
        ValueKind::Text(text) => text.name,
    }
}

fn shape(row: &dyn Row) -> String {
    match row.shape() {
        Shape::Value(kind) => name(kind).into(),
        Shape::Values(kind, _) => format!("list of {}s", name(kind)),
        Shape::Mapping(_) => "mapping".into(),
        Shape::Mappings(..) => "list of mappings".into(),
        Shape::Named(..) => "mappings by name".into(),
        Shape::NamedValues(..) => "values by name".into(),
    }
}

fn range(row: &dyn Row) -> String {
    let many = match row.shape() {
        Shape::Value(kind) => return range_of(kind),
        Shape::Values(kind, Many::Any) => return range_of(kind),
        Shape::Mapping(_) | Shape::NamedValues(..) => Many::Any,
        Shape::Values(_, many) | Shape::Mappings(_, many) | Shape::Named(_, _, many) => many,
    };
    match many {
        Many::Any => "none".into(),
        Many::Some => "one or more".into(),
        Many::UpTo(most) => format!("{most} at most"),
    }
}

fn range_of(kind: ValueKind) -> String {
    match kind {
        ValueKind::Duration(least, std::time::Duration::MAX) => {
            format!("{} or more", show_duration(least))
        }
        ValueKind::Duration(least, most) => {
            format!("{} to {}", show_duration(least), show_duration(most))
        }
        ValueKind::Size(least, most) => format!("{} to {}", show_size(least), show_size(most)),
        ValueKind::Number(least, most) => format!("{least} to {most}"),
        ValueKind::Words(words) => words().join(", "),
        ValueKind::Boolean => "true, false".into(),
        ValueKind::Text(text) if text.range.is_empty() => "none".into(),
        ValueKind::Text(text) => text.range.into(),
    }
}

fn default(row: &dyn Row) -> String {
    match row.absent() {
        Absent::Required(_) => "required".into(),
        Absent::Value(value) => format!("`{value}`"),
        Absent::Words(words) => words.into(),
        Absent::Profiles(values) => values.join(" | "),
        Absent::Nothing => "none".into(),
    }
}

/// The table of a mapping's keys; columns that are the same in all rows are left out.
fn table(section: &Section) -> String {
    let rows: Vec<_> = section.rows().collect();
    let by_profile = rows.iter().any(|row| matches!(row.absent(), Absent::Profiles(_)));
    let reloads = section.path.is_empty();
    let mut lines = match (by_profile, reloads) {
        (true, _) => vec![
            "| key | internal | edge | backends | range | what it bounds, and what happens beyond |".to_owned(),
            "|---|---|---|---|---|---|".to_owned(),
        ],
        (_, true) => vec![
            "| key | type | default | range | reload | meaning |".to_owned(),
            "|---|---|---|---|---|---|".to_owned(),
        ],
        _ => vec![
            "| key | type | default | range | meaning |".to_owned(),
            "|---|---|---|---|---|".to_owned(),
        ],
    };
    lines.extend(rows.iter().map(|row| {
        let shape = if by_profile { String::new() } else { format!(" {} |", shape(*row)) };
        let reload = match (reloads, row.restart()) {
            (false, _) => "",
            (true, false) => " yes |",
            (true, true) => " restart |",
        };
        let (name, default, range) = (row.name(), default(*row), range(*row));
        format!("| `{name}` |{shape} {default} | {range} |{reload} {} |", row.doc())
    }));
    lines.join("\n") + "\n"
}

/// The page with regenerated tables.
fn renewed(page: &str) -> String {
    let mut sections = sections();
    sections.remove("services.*.limits"); // shown with a listener's
    sections.retain(|_, section| section.rows().next().is_some());
    let mut parts = page.split("<!-- keys: ");
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        let (path, rest) = part.split_once(" -->\n").unwrap();
        let (_, after) = rest.split_once(END).unwrap_or_else(|| panic!("{path} has no end"));
        let section = sections.remove(path).unwrap_or_else(|| panic!("no keys are at `{path}`"));
        out += &format!("<!-- keys: {path} -->\n{}{END}{after}", table(section));
    }
    assert!(sections.is_empty(), "no table has the keys of {:?}", sections.keys());
    out
}

fn hold(path: &str, is_right: impl Fn(&str) -> bool, right: &str) {
    let path = root().join(path);
    if std::env::var_os("RENEW").is_some() {
        std::fs::write(&path, right).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let path = path.display();
    assert!(is_right(&text), "{path} is stale: RENEW=1 cargo test --test it renew");
}

#[test]
fn its_tables_are_those_of_the_rows_or_renew_them() {
    let page = super::page("configuration.md");
    let right = renewed(&page);
    hold("docs/configuration.md", |text| text == right, &right);
}

#[test]
fn the_schema_beside_it_is_that_of_the_rows_or_renew_it() {
    let parsed = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    let right = config::schema();
    hold("docs/schema.json", |text| parsed(text) == parsed(&right), &right);
}

/// Identifies a row wherever its mapping occurs.
fn id(row: &dyn Row) -> *const () {
    std::ptr::from_ref(row).cast()
}

/// Records the rows that occur in `value`, a mapping of `keys`.
fn note(value: &serde_json::Value, keys: &dyn Keys, seen: &mut HashSet<*const ()>) {
    let policy = value["policy"].as_str().and_then(balance::policy);
    let settings = policy.and_then(|policy| policy.settings()).map(Keys::section);
    for row in keys.section().rows().chain(settings.into_iter().flat_map(Section::rows)) {
        let Some(under) = value.get(row.name()) else { continue };
        seen.insert(id(row));
        match row.shape() {
            Shape::Mapping(keys) => note(under, keys, seen),
            Shape::Mappings(keys, _) => {
                under.as_array().unwrap().iter().for_each(|item| note(item, keys, seen));
            }
            Shape::Named(_, keys, _) => {
                under.as_object().unwrap().values().for_each(|item| note(item, keys, seen));
            }
            Shape::Value(_) | Shape::Values(..) | Shape::NamedValues(..) => {}
        }
    }
}

#[test]
fn the_full_example_shows_every_row() {
    let text = std::fs::read_to_string(root().join("docs/examples/full.yaml")).unwrap();
    let mut seen = HashSet::new();
    note(&yaml::read(&text), config::keys(), &mut seen);
    let comments: Vec<_> = text.lines().filter_map(|line| line.split_once('#')).collect();
    for (path, section) in sections() {
        for row in section.rows().filter(|row| !seen.contains(&id(*row))) {
            // An alternative is shown in a comment.
            let shown = [format!("{}:", row.name()), format!("`{}`", row.name())];
            let shows = |comment: &str| shown.iter().any(|shown| comment.contains(shown));
            let told = comments.iter().any(|(_, comment)| shows(comment));
            assert!(told, "full.yaml does not show `{}` of {path}", row.name());
        }
    }
    assert!(seen.len() > 100, "{}", seen.len());
}
