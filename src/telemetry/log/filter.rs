//! What is logged: a level, and others for parts of the program.

use std::fmt;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use crate::text::{nearest, suggestion};

/// The levels from the quietest on. There is no `trace`: nothing of ours is said at it.
const LEVELS: [(&str, LevelFilter); 5] = [
    ("off", LevelFilter::OFF),
    ("error", LevelFilter::ERROR),
    ("warn", LevelFilter::WARN),
    ("info", LevelFilter::INFO),
    ("debug", LevelFilter::DEBUG),
];

const OURS: &str = "equipoise";

/// The modules of the program, one a line: what is logged goes by their names.
const MODULES: &str = include_str!(concat!(env!("OUT_DIR"), "/modules.txt"));

/// What is logged by another name: a line for each request.
pub const REQUEST: &str = "equipoise::request";

/// What libraries may say unless they are named: at `debug` they speak of every frame.
const FOREIGN: LevelFilter = LevelFilter::WARN;

/// A level for all of ours, and levels of their own for what is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    level: LevelFilter,
    /// As they were written: the longest name that fits wins.
    named: Vec<(String, LevelFilter)>,
}

impl From<LevelFilter> for Filter {
    fn from(level: LevelFilter) -> Filter {
        Filter { level, named: Vec::new() }
    }
}

impl Filter {
    /// What `text` says, such as `debug` or `equipoise::upstream=debug`; without a level of its
    /// own it leaves that of `self`.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn refined(&self, text: &str) -> Result<Filter, String> {
        let mut filter = Filter { level: self.level, named: Vec::new() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((name, word)) => filter.named.push((target(name)?, any_case(word)?)),
                None if part.contains("::") => {
                    return Err(format!("`{part}` has no level: write {part}=debug"));
                }
                None => filter.level = any_case(part)?,
            }
        }
        Ok(filter)
    }

    /// What of it is hardly meant: names of ours that nothing has.
    pub fn doubts(&self) -> Vec<String> {
        let known = || MODULES.lines().chain([OURS, REQUEST]);
        let ours = self.named.iter().map(|(name, _)| name).filter(|name| name.starts_with(OURS));
        let strange = ours.filter(|name| !known().any(|known| known.starts_with(name.as_str())));
        let doubt = |name: &String| {
            let meant = nearest(name, known()).map(|near| format!(": did you mean `{near}`?"));
            let meant = meant.unwrap_or_default();
            format!("`{name}` is no part of the program, and nothing is logged by it{meant}")
        };
        strange.map(doubt).collect()
    }

    /// The same as the log's library has it.
    pub fn targets(&self) -> Targets {
        let targets = Targets::new().with_default(self.level.min(FOREIGN));
        targets.with_target(OURS, self.level).with_targets(self.named.iter().cloned())
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.level)?;
        self.named.iter().try_for_each(|(name, level)| write!(f, ",{name}={level}"))
    }
}

/// Environments and people write levels as they like.
fn any_case(word: &str) -> Result<LevelFilter, String> {
    level(&word.trim().to_ascii_lowercase())
}

/// The words for levels.
pub fn levels() -> Vec<&'static str> {
    LEVELS.map(|(name, _)| name).into()
}

/// The level that the word names.
///
/// # Errors
/// It names none; says what was meant, perhaps, and which there are.
pub fn level(word: &str) -> Result<LevelFilter, String> {
    if word == "trace" {
        return Err(format!("`{word}` says no more than debug, which says the most: write debug"));
    }
    let names = levels();
    let level = LEVELS.iter().find(|(name, _)| *name == word);
    level.map(|(_, level)| *level).ok_or_else(|| {
        let near = nearest(word, names.iter().copied());
        format!("`{word}` is not a level of the log: {}", suggestion(near, &names))
    })
}

/// A name that may have a level of its own. Libraries' names we do not know, but a slip in our
/// own would silence what was asked for.
fn target(name: &str) -> Result<String, String> {
    let name = name.trim();
    let first = name.split("::").next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
    if name.is_empty() || !name.chars().all(plain) {
        return Err(format!("`{name}` is not the name of a part: write equipoise::upstream=debug"));
    }
    if first != OURS && nearest(first, [OURS]).is_some() {
        return Err(format!("`{name}` is no part of it: did you mean `{OURS}`?"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn read(text: &str) -> Result<Filter, String> {
        Filter::from(LevelFilter::INFO).refined(text)
    }

    #[test]
    fn a_level_is_for_ours_and_names_are_for_what_they_name() {
        let targets = |text: &str| read(text).unwrap().targets();
        let debug = targets("DEBUG");
        assert!(debug.would_enable("equipoise::proxy::forward", &Level::DEBUG));
        assert!(!debug.would_enable("h2::codec", &Level::INFO), "libraries warn, and no more");
        assert!(debug.would_enable("h2::codec", &Level::WARN));
        let named = targets("equipoise::proxy=debug, h2=info");
        assert!(named.would_enable("equipoise::proxy::forward", &Level::DEBUG));
        assert!(named.would_enable("equipoise::app", &Level::INFO), "the rest stays");
        assert!(!named.would_enable("equipoise::app", &Level::DEBUG));
        assert!(named.would_enable("h2::codec", &Level::INFO));
        let off = targets("off");
        assert!(!off.would_enable("equipoise::app", &Level::ERROR));
        assert!(!off.would_enable("h2", &Level::ERROR));
    }

    #[test]
    fn slips_are_named_with_what_was_meant() {
        for (text, said) in [
            ("inof", "`inof` is not a level of the log: did you mean `info`?"),
            ("info,equipoise::proxy=loud", "`loud` is not a level of the log: known here: off,"),
            ("trace", "`trace` says no more than debug"),
            ("equipoise::proxy", "write equipoise::proxy=debug"),
            ("eqiupoise::proxy=debug", "did you mean `equipoise`?"),
            ("=debug", "`` is not the name of a part"),
            ("equipoise[span]=debug", "is not the name of a part"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    #[test]
    fn names_of_ours_that_nothing_has_are_doubted() {
        for known in [
            "equipoise=debug",
            "equipoise::request=debug",
            "equipoise::proxy=debug,h2::codec=info",
            "equipoise::telemetry::log::filter=debug",
            "debug",
        ] {
            assert!(read(known).unwrap().doubts().is_empty(), "{known}");
        }
        for (text, said) in [
            ("equipoise::reqest=debug", "did you mean `equipoise::request`?"),
            ("equipoise::upstraem::pool=debug", "did you mean `equipoise::upstream::pool`?"),
            ("info,equipoise::qqqqqqqqqqqqqqqqqqqqqqqqq=debug", "no part of the program"),
        ] {
            let doubts = read(text).unwrap().doubts();
            assert!(doubts.len() == 1 && doubts[0].contains(said), "{text}: {doubts:?}");
        }
    }

    #[test]
    fn it_is_shown_as_it_is_read() {
        for text in ["info", "debug", "off", "warn,equipoise::proxy=debug,h2=info"] {
            assert_eq!(read(text).unwrap().to_string(), text);
        }
        assert_eq!(read(" ").unwrap(), Filter::from(LevelFilter::INFO));
    }
}
