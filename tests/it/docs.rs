//! The pages of `docs/` are correct and complete.

mod commands;
mod configuration;
mod documented;
mod operating;
mod reference;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use equipoise::config;

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}

/// A page's text, by its file's name.
fn page(name: &str) -> String {
    std::fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The pages by name, the README among them.
fn pages() -> Vec<(String, String)> {
    let folder = std::fs::read_dir(root().join("docs")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension() == Some("md".as_ref())).collect();
    assert!(paths.len() >= 3, "{paths:?}");
    paths.push(root().join("README.md"));
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read_to_string(path).unwrap());
    paths.into_iter().map(read).collect()
}

/// The fenced blocks in `language`.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let parts = text.split("\n```").skip(1).step_by(2);
    let blocks = parts.filter_map(|part| part.strip_prefix(language)?.strip_prefix('\n'));
    blocks.map(str::to_owned).collect()
}

/// The words in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A table row: cells by column title.
type Row = BTreeMap<String, String>;

/// The rows of the tables in `text` whose first column is called `first`.
fn rows(text: &str, first: &str) -> Vec<Row> {
    let cells = |line: &str| -> Vec<String> {
        line.trim().trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect()
    };
    let mut rows = Vec::new();
    let mut titles = Vec::new();
    for line in text.lines() {
        if !line.starts_with('|') {
            titles.clear();
        } else if titles.is_empty() {
            titles = cells(line);
        } else if titles.first().unwrap() == first && !line.starts_with("|--") {
            let row = cells(line);
            assert_eq!(row.len(), titles.len(), "{line}");
            rows.push(titles.iter().cloned().zip(row).collect());
        }
    }
    rows
}

/// The one word in backticks in the cell of `title`.
fn named<'a>(row: &'a Row, title: &str) -> &'a str {
    let mut words = quoted(&row[title]);
    words.next().filter(|_| words.next().is_none()).unwrap_or_else(|| panic!("{title}: {row:?}"))
}

#[test]
fn its_configurations_are_right() {
    for (name, text) in pages() {
        for block in blocks(&text, "yaml") {
            let plan = config::parse(&block, Path::new("")).map_err(|report| report.pretty());
            let plan = plan.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(plan.warnings.is_empty(), "{name}: {block}");
        }
    }
}

#[test]
fn its_links_lead_somewhere() {
    for (name, text) in pages() {
        let folder = Path::new(&name).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
        for link in links.filter(|link| !link.starts_with("https://")) {
            let (file, part) = link.split_once('#').unwrap_or((link, ""));
            let path = if file.is_empty() { PathBuf::from(&name) } else { folder.join(file) };
            assert!(path.exists(), "{name}: {link}");
            if !part.is_empty() {
                let text = std::fs::read_to_string(path).unwrap();
                let titles = text.lines().filter(|line| line.starts_with('#'));
                let plain = |c: char| c.is_alphanumeric() || " -".contains(c);
                let anchor = |line: &str| -> String {
                    let title = line.trim_start_matches('#').trim().to_lowercase();
                    title.chars().filter(|c| plain(*c)).collect::<String>().replace(' ', "-")
                };
                assert!(titles.map(anchor).any(|title| title == part), "{name}: {link}");
            }
        }
    }
}
