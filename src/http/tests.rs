//! Checks that the codecs' sources have no panics, and no imports from the rest of the crate.

use std::path::{Path, PathBuf};

/// Every source file under `folder` that is not a test.
fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("tests") {
            sources(&path, into);
        } else if path.extension().is_some_and(|ext| ext == "rs") && !path.ends_with("tests.rs") {
            into.push(path);
        }
    }
}

/// The lines that are code, with their numbers, up to the tests.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    (1..).zip(lines).take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
}

/// Whether something is indexed: a bracket right after a name or a closing bracket.
fn indexes(line: &str) -> bool {
    let bytes = line.as_bytes();
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b')' || b == b']';
    bytes.windows(2).any(|pair| word(pair[0]) && pair[1] == b'[')
}

fn check(name: &str, mut wrong: impl FnMut(&Path, &str) -> bool) {
    let mut files = Vec::new();
    for folder in ["http", "http1", "http2"] {
        sources(&Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).join(folder), &mut files);
    }
    assert!(files.len() > 40, "the sources were not found");
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (nth, line) in code(&text).filter(|(_, line)| wrong(&file, line)) {
            found.push(format!("{}:{nth}: {}", file.display(), line.trim()));
        }
    }
    assert!(found.is_empty(), "{name}:\n{}", found.join("\n"));
}

#[test]
fn nothing_panics() {
    const WAYS: [&str; 9] = [
        ".unwrap()",
        ".expect(",
        "panic!",
        "unreachable!",
        "todo!",
        "unimplemented!",
        ".remove(..",
        " assert!",
        " assert_eq!",
    ];
    check("may panic", |_, line| WAYS.iter().any(|way| line.contains(way)));
}

/// Tables of a fixed size that a byte, or a number modulo that size, cannot miss, and the code
/// of constants, which the compiler runs.
#[test]
fn nothing_is_indexed_but_fixed_tables() {
    const FILES: [&str; 3] = ["hpack/statics.rs", "hpack/index.rs", "hpack/huffman.rs"];
    const TABLES: [&str; 3] = ["NAME_BYTES[usize::from(", "TABLE[usize::from(", "table[allowed[i]"];
    check("may be out of bounds", |file, line| {
        let fixed = FILES.iter().any(|name| file.ends_with(name));
        indexes(line) && !fixed && !TABLES.iter().any(|table| line.contains(table))
    });
}

#[test]
fn they_know_no_clock_and_no_runtime() {
    const OTHERS: [&str; 4] = ["tokio", "std::io", "std::net", "Instant"];
    check("is not a codec's business", |_, line| OTHERS.iter().any(|other| line.contains(other)));
}
