//! Language inclusion of regular expressions: whether one matches any path or gRPC method at all,
//! and whether it matches all that another one does. Decided by searching the product of their
//! automata.

use std::collections::HashSet;

use super::pattern::Pattern;

/// Limit of states visited; beyond it the pattern gets the benefit of the doubt.
const MAX_STATES: usize = 20_000;

/// The grammar of texts that patterns are matched against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grammar {
    /// `/`, followed by anything without `?`.
    Path,
    /// `pkg.Service/Method`.
    GrpcMethod,
}

/// Parser state of a grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Start,
    Service,
    Slash,
    Rest,
}

impl Grammar {
    fn next(self, phase: Phase, byte: u8) -> Option<Phase> {
        let letter = byte.is_ascii_alphanumeric() || byte == b'_';
        match (self, phase, byte) {
            (Grammar::Path, Phase::Start, b'/') => Some(Phase::Rest),
            (Grammar::Path, Phase::Start, _) => None,
            (Grammar::Path, _, byte) => {
                (byte > b' ' && byte != 0x7f && byte != b'?' && byte != b'#').then_some(Phase::Rest)
            }
            (Grammar::GrpcMethod, Phase::Start | Phase::Service, _) if letter => {
                Some(Phase::Service)
            }
            (Grammar::GrpcMethod, Phase::Service, b'.') => Some(Phase::Start),
            (Grammar::GrpcMethod, Phase::Service, b'/') => Some(Phase::Slash),
            (Grammar::GrpcMethod, Phase::Slash | Phase::Rest, _) if letter => Some(Phase::Rest),
            (Grammar::GrpcMethod, ..) => None,
        }
    }
}

/// Whether `pattern` matches any text of the grammar.
pub fn matches_some(pattern: &Pattern, grammar: Grammar) -> bool {
    let found = search((pattern.start(), Phase::Start), |(state, phase), byte| {
        let state = pattern.step(state, &[byte]);
        let phase = grammar.next(phase, byte).filter(|_| !pattern.is_dead(state))?;
        Some(((state, phase), phase == Phase::Rest && pattern.accepts(state)))
    });
    found != SearchResult::Nothing
}

/// Whether `pattern` matches every path that equals `prefix` or continues it with a `/`.
pub fn matches_below(pattern: &Pattern, prefix: &str) -> bool {
    let at = pattern.step(pattern.start(), prefix.as_bytes());
    let below = pattern.step(at, b"/");
    let itself = prefix.is_empty() || pattern.accepts(at);
    let missed = search(below, |state, byte| {
        Grammar::Path.next(Phase::Rest, byte)?;
        let state = pattern.step(state, &[byte]);
        Some((state, !pattern.accepts(state)))
    });
    itself && pattern.accepts(below) && missed == SearchResult::Nothing
}

/// Whether `pattern` matches every text that `other` does.
pub fn matches_all_of(pattern: &Pattern, other: &Pattern, grammar: Grammar) -> bool {
    let start = (pattern.start(), other.start(), Phase::Start);
    let missed = search(start, |(one, two, phase), byte| {
        let two = other.step(two, &[byte]);
        let phase = grammar.next(phase, byte).filter(|_| !other.is_dead(two))?;
        let one = pattern.step(one, &[byte]);
        let missed = phase == Phase::Rest && other.accepts(two) && !pattern.accepts(one);
        Some(((one, two, phase), missed))
    });
    missed == SearchResult::Nothing
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SearchResult {
    Something,
    Nothing,
    /// The limit of states was reached.
    Unknown,
}

/// Depth-first search over the states reachable from `start`, until `step` reports a find.
fn search<S: Copy + Eq + std::hash::Hash>(
    start: S,
    step: impl Fn(S, u8) -> Option<(S, bool)>,
) -> SearchResult {
    let (mut open, mut seen) = (vec![start], HashSet::from([start]));
    while let Some(at) = open.pop() {
        for (next, found) in (0..=u8::MAX).filter_map(|byte| step(at, byte)) {
            if found {
                return SearchResult::Something;
            }
            if seen.insert(next) {
                open.push(next);
            }
        }
        if seen.len() > MAX_STATES {
            return SearchResult::Unknown;
        }
    }
    SearchResult::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::new(text).unwrap()
    }

    #[test]
    fn patterns_that_match_nothing_are_known() {
        for (text, path, grpc) in [
            ("shop[.]Orders", false, false),
            ("shop[.]Orders/.*", false, true),
            ("/shop[.]Orders/.*", true, false),
            (".*Orders", true, true),
            ("/a[?]b=1", false, false),
            ("^/v[0-9]+/x$", true, false),
            ("(?i)SHOP[.].*", false, true),
            ("/a b", false, false),
            ("a.b", false, true),
            ("/?", true, false),
            ("[a-z]{3}/Get/More", false, false),
        ] {
            let pattern = pattern(text);
            assert_eq!(matches_some(&pattern, Grammar::Path), path, "{text}");
            assert_eq!(matches_some(&pattern, Grammar::GrpcMethod), grpc, "{text}");
        }
    }

    #[test]
    fn patterns_that_leave_nothing_to_others_are_known() {
        for (text, prefix, all) in [
            (".*", "", true),
            ("/.*", "/api", true),
            ("/api(/.*)?", "/api", true),
            ("/api/.*", "/api", false),
            ("/ap.*", "/api/v1", true),
            ("/v[0-9]+/.*", "", false),
            ("/a.{0,9}", "/a", false),
        ] {
            assert_eq!(matches_below(&pattern(text), prefix), all, "{text} {prefix}");
        }
        for (one, two, all) in [
            ("/.*", "/v[0-9]+/.*", true),
            ("/v[0-9]+/.*", "/.*", false),
            ("/(a|b)", "/a", true),
            ("/a{1,3}", "/a{2,3}", true),
            ("/a{1,3}", "/a{2,4}", false),
        ] {
            let (one, two) = (pattern(one), pattern(two));
            assert_eq!(matches_all_of(&one, &two, Grammar::Path), all, "{one:?} {two:?}");
        }
    }
}
