//! "Did you mean": the nearest known word by edit distance.

/// The candidate nearest to `word`, if it is near enough to be a typo.
///
/// Only letters count, neither case nor separators: `RoundRobin` and `round-robin` both match
/// `round_robin`.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = &letters(word);
    let longest = word.chars().count();
    candidates
        .into_iter()
        .map(|candidate| (distance(word, &letters(candidate)), candidate))
        .filter(|(distance, _)| *distance <= 1 + longest / 4 && *distance < longest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Whether `word` equals `wanted` or is near enough to be a typo.
pub fn is_near(word: &str, wanted: &str) -> bool {
    nearest(word, [wanted]).is_some()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| !"-_ ".contains(*c)).flat_map(char::to_lowercase).collect()
}

/// "Did you mean `near`?", if there is one, and all that is known.
pub fn suggestion(near: Option<&str>, known: &[&str]) -> String {
    let all = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    match near {
        Some(near) => format!("did you mean `{near}`? Known here: {all}"),
        None => format!("known here: {all}"),
    }
}

/// Edit distance: insertions, deletions, substitutions, transpositions (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    const MAX_LEN: usize = 64;
    if a.len() > MAX_LEN || b.len() > MAX_LEN {
        return usize::MAX;
    }
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before = vec![0; b.len() + 1];
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 0..a.len() {
        let mut next = vec![i + 1; b.len() + 1];
        for j in 0..b.len() {
            let replace = row[j] + usize::from(a[i] != b[j]);
            next[j + 1] = replace.min(row[j + 1] + 1).min(next[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                next[j + 1] = next[j + 1].min(before[j - 1] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("listeners", "listeners"), 0);
        assert_eq!(distance("lisetners", "listeners"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn suggests_only_near_words() {
        let known = ["listeners", "services", "routes"];
        assert_eq!(nearest("lisener", known), Some("listeners"));
        assert_eq!(nearest("routs", known), Some("routes"));
        assert_eq!(nearest("banana", known), None);
        for way in ["ROUND_ROBIN", "round-robin", "RoundRobin", "Round Robin", "roundrobbin"] {
            assert_eq!(nearest(way, ["round_robin", "least_request"]), Some("round_robin"));
        }
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"x".repeat(100), known), None);
    }
}
