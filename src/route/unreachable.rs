//! Unreachable (shadowed) routes: a regular expression with higher precedence matches all of their
//! requests.

use std::collections::HashMap;

use super::regex_inclusion::{Grammar, matches_all_of, matches_below};
use super::table::Row;
use super::{Conditions, HostMatch, PathMatch, RouteTable};

/// Limit of comparisons; the remaining routes get the benefit of the doubt.
const MAX_COMPARISONS: usize = 10_000;

impl RouteTable {
    /// Each unreachable route with the route that shadows it, by index.
    pub fn unreachable(&self) -> Vec<(usize, usize)> {
        let mut by_host: HashMap<&HostMatch, Vec<(usize, &Row)>> = HashMap::new();
        let rows = || self.rows().iter().enumerate();
        for (number, row) in rows().filter(|(_, row)| is_pattern(row) && is_unconditional(row)) {
            by_host.entry(&row.matched.host).or_default().push((number, row));
        }
        let mut comparisons = 0;
        let mut found = Vec::new();
        for (number, row) in rows() {
            let before = by_host.get(&row.matched.host).map_or(&[][..], Vec::as_slice).iter();
            let mut before = before.filter(|(other, _)| goes_before(*other, number, row));
            let greedy = before.find(|(_, other)| {
                comparisons += 1;
                comparisons <= MAX_COMPARISONS && takes_all(&other.matched.path, &row.matched.path)
            });
            found.extend(greedy.map(|(greedy, _)| (number, *greedy)));
        }
        found
    }
}

fn is_pattern(row: &Row) -> bool {
    matches!(row.matched.path, PathMatch::Regex(_) | PathMatch::GrpcRegex(_))
}

fn is_unconditional(row: &Row) -> bool {
    row.matched.conditions == Conditions::default()
}

/// Whether `other`, an unconditional pattern, takes precedence over the route `row`.
fn goes_before(other: usize, number: usize, row: &Row) -> bool {
    match row.matched.path {
        PathMatch::Prefix(_) | PathMatch::Any => true,
        _ => is_pattern(row) && is_unconditional(row) && other < number,
    }
}

fn takes_all(pattern: &PathMatch, of: &PathMatch) -> bool {
    match (pattern, of) {
        (PathMatch::Regex(one), PathMatch::Regex(two)) => matches_all_of(one, two, Grammar::Path),
        (PathMatch::Regex(one), PathMatch::Prefix(prefix)) => matches_below(one, prefix),
        (PathMatch::Regex(one), PathMatch::Any | PathMatch::GrpcRegex(_)) => matches_below(one, ""),
        (PathMatch::GrpcRegex(one), PathMatch::GrpcRegex(two)) => {
            matches_all_of(one, two, Grammar::GrpcMethod)
        }
        _ => false,
    }
}
