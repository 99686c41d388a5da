//! The version of this build.

/// The version, with commit and date if these are known: `0.1.0 (1a2b3c4d5, 2026-11-28)`.
pub const VERSION: &str = env!("EQUIPOISE_VERSION");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_has_a_number_and_a_day() {
        let commit = VERSION.strip_prefix(env!("CARGO_PKG_VERSION")).unwrap();
        let parts = commit.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')'));
        let is_right = |(commit, day): (&str, &str)| commit.len() >= 9 && day.len() == 10;
        let known = parts.and_then(|parts| parts.split_once(", ")).is_some_and(is_right);
        assert!(commit.is_empty() || known, "{VERSION}");
    }
}
