//! Loads the text of a configuration: from a file, a stream, or memory.

use std::io::{self, Read};
use std::path::Path;

use super::files::Files;
use super::variables::environment;
use super::{Plan, Report, read};

/// The maximum size of a configuration.
pub(super) const MAX_FILE: u64 = 16 << 20;

/// Loads the file at `path`; relative paths in it are resolved against its folder.
///
/// # Errors
/// All errors in it.
pub fn load(path: &Path) -> Result<Plan, Report> {
    let files = Files::within(path.parent().unwrap_or(Path::new("")));
    let text = files.read(path, MAX_FILE).map_err(|error| {
        let message = format!("cannot read the configuration: {error}");
        Report::unreadable(path, "", message, "name the file with --config")
    });
    let text = text.and_then(|bytes| utf8(bytes, path));
    let plan = text.and_then(|text| read(&text, path, &files, &environment));
    with_sources(plan, files)
}

/// Loads from a stream called `name`; relative paths in it are resolved against `base`.
///
/// # Errors
/// All errors in it.
pub fn load_from(input: impl Read, name: &Path, base: &Path) -> Result<Plan, Report> {
    let files = Files::within(base);
    let mut bytes = Vec::new();
    let read_all = match input.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        Ok(_) if bytes.len() as u64 > MAX_FILE => {
            Err(io::Error::other(format!("it is larger than {MAX_FILE} bytes")))
        }
        result => result.map(|_| bytes),
    };
    let text = read_all.map_err(|error| {
        let message = format!("cannot read the configuration: {error}");
        Report::unreadable(name, "", message, "")
    });
    let text = text.and_then(|bytes| utf8(bytes, name));
    let plan = text.and_then(|text| read(&text, name, &files, &environment));
    with_sources(plan, files)
}

/// Parses text; relative paths in it are resolved against `base`.
///
/// # Errors
/// All errors in it.
pub fn parse(text: &str, base: &Path) -> Result<Plan, Report> {
    let files = Files::within(base);
    let plan = read(text, Path::new("configuration"), &files, &environment);
    with_sources(plan, files)
}

fn utf8(bytes: Vec<u8>, path: &Path) -> Result<String, Report> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let message = "from here on the file is not UTF-8".into();
        let valid = error.as_bytes().get(..valid).unwrap_or_default();
        Report::unreadable(path, &String::from_utf8_lossy(valid), message, "save it as UTF-8")
    })
}

fn with_sources(plan: Result<Plan, Report>, files: Files) -> Result<Plan, Report> {
    let (sources, certificates) = files.finish();
    match plan {
        Ok(plan) => Ok(Plan { sources, certificates, ..plan }),
        Err(report) => Err(report.from(sources)),
    }
}
