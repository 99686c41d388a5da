//! Regular expressions as dense DFAs: one table lookup a byte, linear in the text whatever the
//! pattern. They have no cache, so matching neither shares state between workers nor allocates.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::util::primitives::StateID;
use regex_automata::util::{start, syntax};
use regex_automata::{Anchored, MatchKind};

/// The maximum length of a pattern, in bytes.
const MAX_TEXT: usize = 1024;
/// The maximum size of a DFA, in bytes. Typical patterns need a few thousand.
const MAX_SIZE: usize = 1 << 20;

/// A regular expression, anchored at both ends, that matches bytes.
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    automaton: Arc<dense::DFA<Vec<u32>>>,
}

/// The DFA's state while matching piece by piece; begins with [`Pattern::start`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State(StateID);

impl Pattern {
    /// Compiles a pattern in the syntax of the `regex` crate, without Unicode classes.
    ///
    /// # Errors
    /// What is wrong, and how to fix it.
    pub fn new(text: &str) -> Result<Pattern, String> {
        if text.is_empty() || text.len() > MAX_TEXT {
            return Err(format!("a regular expression has 1 to {MAX_TEXT} characters"));
        }
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let parsed = syntax::parse_with(text, &syntax).map_err(|error| {
            let lines = error.to_string(); // its last line is the message, the others quote
            let fault = lines.rsplit("error: ").next().unwrap_or_default().trim();
            format!("`{text}` is not a regular expression: {fault}")
        })?;
        let too_large =
            || format!("`{text}` makes an automaton of more than 1MiB: repeat less, or less often");
        let nfa = thompson::Config::new().utf8(false).nfa_size_limit(Some(MAX_SIZE));
        let nfa = thompson::Compiler::new().configure(nfa).build_from_hir(&parsed);
        let nfa = nfa.map_err(|_| too_large())?;
        let dense = dense::Config::new()
            .start_kind(StartKind::Anchored)
            .match_kind(MatchKind::All) // all match lengths, as the longest is needed
            .dfa_size_limit(Some(MAX_SIZE))
            .determinize_size_limit(Some(4 * MAX_SIZE));
        let automaton = dense::Builder::new().configure(dense).build_from_nfa(&nfa);
        let automaton = Arc::new(automaton.map_err(|_| too_large())?);
        Ok(Pattern { text: text.into(), automaton })
    }

    /// The pattern as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The DFA's size in bytes.
    pub fn size(&self) -> usize {
        self.automaton.memory_usage()
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        self.accepts(self.step(self.start(), text))
    }

    /// The state before the first byte.
    pub fn start(&self) -> State {
        let anchored = start::Config::new().anchored(Anchored::Yes);
        // Every DFA here has an anchored start state; the dead state as a fallback matches nothing.
        State(self.automaton.start_state(&anchored).unwrap_or_default())
    }

    /// The state after `piece`.
    pub fn step(&self, State(mut state): State, piece: &[u8]) -> State {
        for &byte in piece {
            state = self.automaton.next_state(state, byte);
            if self.automaton.is_dead_state(state) {
                break;
            }
        }
        State(state)
    }

    /// Whether no continuation can match.
    pub fn is_dead(&self, State(state): State) -> bool {
        self.automaton.is_dead_state(state)
    }

    /// Whether the text read so far matches.
    pub fn accepts(&self, State(state): State) -> bool {
        self.automaton.is_match_state(self.automaton.next_eoi_state(state))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pattern").field(&self.text).finish()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_has_to_match() {
        for (pattern, yes, no) in [
            ("a|ab", &["a", "ab"][..], &["", "abc", "xa", "b"][..]),
            ("/v[0-9]+/.*", &["/v1/", "/v22/x/y"], &["/v/", "/v1", "x/v1/"]),
            ("(?i)get", &["GET", "get"], &["gets"]),
            ("^a$", &["a"], &["a\n", "ba"]),
            ("a*", &["", "aaa"], &["b"]),
            ("é", &["é"], &["e"]),
            (r"\bx\b", &["x"], &["xx"]),
            ("a)?|(b", &[], &[]),
        ] {
            let Ok(pattern) = Pattern::new(pattern) else {
                assert!(yes.is_empty() && no.is_empty(), "{pattern}");
                continue;
            };
            for text in yes {
                assert!(pattern.matches(text.as_bytes()), "{pattern:?} {text}");
            }
            for text in no {
                assert!(!pattern.matches(text.as_bytes()), "{pattern:?} {text}");
            }
            assert!(!pattern.matches(b"\xff\xfe"), "{pattern:?}");
        }
    }

    #[test]
    fn matching_is_incremental() {
        let pattern = Pattern::new("ab+c").unwrap();
        let state = pattern.step(pattern.start(), b"ab");
        let state = pattern.step(state, b"");
        assert!(!pattern.accepts(state));
        assert!(pattern.accepts(pattern.step(state, b"bc")));
    }

    #[test]
    fn invalid_and_oversized_patterns_are_refused() {
        for (pattern, says) in [
            ("", "1 to 1024 characters"),
            ("a(", "`a(` is not a regular expression: unclosed group"),
            (r"\p{Greek}", "is not a regular expression: "),
            ("(?s).*a.{24}", "more than 1MiB"),
            ("((a{100}){100}){100}", "more than 1MiB"),
            (r"(a)\1", "backreferences are not supported"),
        ] {
            let error = Pattern::new(pattern).unwrap_err();
            assert!(error.contains(says) && !error.contains('\n'), "{error}");
        }
        assert!(Pattern::new(&"a".repeat(1025)).is_err());
    }
}
