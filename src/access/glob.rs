//! Patterns of names: `*` stands for any characters, or for none.

use std::fmt::{self, Display, Formatter};

/// Maximum length of a pattern in bytes.
const MAX_LENGTH: usize = 512;

/// A pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<str>);

impl Glob {
    /// Parses `orders`, `orders*` or `spiffe://prod/ns/*/sa/ops`. A `*` takes in slashes.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn parse(text: &str) -> Result<Glob, String> {
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(|b| b.is_ascii_graphic())
        {
            let shown: String = text.chars().take(64).collect();
            return Err(format!(
                "`{}` is no pattern of names: write orders, orders* or *",
                shown.escape_debug()
            ));
        }
        Ok(Glob(text.into()))
    }

    /// Whether a name is meant, in time that is linear in pattern times name.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            let Some(at) = rest.find(part) else { return false };
            rest = rest.get(at + part.len()..).unwrap_or_default();
        }
        rest.ends_with(last)
    }
}

impl Display for Glob {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, meant) in [
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders", "xorders", false),
            ("orders*", "orders", true),
            ("orders*", "orders-eu", true),
            ("orders*", "carts", false),
            ("*", "", true),
            ("*-eu", "orders-eu", true),
            ("*-eu", "orders-eu2", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*bc*c", "abc", false),
            ("**", "x", true),
            ("spiffe://prod/ns/*/sa/ops", "spiffe://prod/ns/a/b/sa/ops", true),
            ("spiffe://prod/ns/*/sa/ops", "spiffe://prod/ns/a/sa/ops2", false),
        ] {
            assert_eq!(Glob::parse(pattern).unwrap().matches(name), meant, "{pattern} {name}");
        }
        for wrong in ["", "a b", "ö", &"x".repeat(MAX_LENGTH + 1)] {
            assert!(Glob::parse(wrong).unwrap_err().contains("no pattern"), "{wrong}");
        }
    }
}
