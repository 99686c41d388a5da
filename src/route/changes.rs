//! Diff of two route tables.

use std::collections::HashMap;

use super::RouteTable;
use super::table::Row;

/// The names of routes that differ from an earlier table.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RouteChanges<'t> {
    /// Added routes.
    pub added: Vec<&'t str>,
    /// Routes with another match or action.
    pub changed: Vec<&'t str>,
    /// Removed routes.
    pub removed: Vec<&'t str>,
}

impl RouteTable {
    /// The diff from `earlier`. Order and source location do not count.
    pub fn changes_since<'t>(&'t self, earlier: &'t RouteTable) -> RouteChanges<'t> {
        let mut changes = RouteChanges::default();
        let before = earlier.rows().iter().map(|row| (&*row.name, row));
        let mut before: HashMap<&str, &Row> = before.collect();
        for row in self.rows() {
            match before.remove(&*row.name) {
                None => changes.added.push(&*row.name),
                Some(known) if (&known.matched, &known.route) != (&row.matched, &row.route) => {
                    changes.changed.push(&*row.name);
                }
                Some(_) => {}
            }
        }
        let gone = earlier.rows().iter().map(|row| &*row.name);
        changes.removed.extend(gone.filter(|name| before.contains_key(name)));
        changes
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{
        Filters, Forward, HeaderEdit, Match, Mirror, PathMatch, Redirect, Route, RouteTableBuilder,
        Share, SourceLocation, Split,
    };
    use super::*;

    fn forward(services: &[(usize, &str, u32)]) -> Forward {
        let shares = services.iter().map(|(index, name, weight)| Share::new(*index, name, *weight));
        Forward::to(Split::new(shares))
    }

    fn to(services: &[(usize, &str, u32)]) -> Route {
        Route::Forward(forward(services))
    }

    fn table(rows: &[(&str, &str, Route)]) -> RouteTable {
        let mut table = RouteTableBuilder::default();
        for (line, (name, path, route)) in (1..).zip(rows) {
            let matched = Match { path: PathMatch::exact(path).unwrap(), ..Match::default() };
            let place = SourceLocation { line, column: 1 };
            table.insert(Some((*name).into()), matched, route.clone(), place).unwrap();
        }
        table.finish()
    }

    fn said(after: &RouteTable, before: &RouteTable) -> [Vec<String>; 3] {
        let RouteChanges { added, changed, removed } = after.changes_since(before);
        [added, changed, removed].map(|names| names.iter().map(|name| name.to_string()).collect())
    }

    #[test]
    fn order_and_the_places_of_services_are_no_change() {
        let before = table(&[("a", "/a", to(&[(0, "x", 1)])), ("b", "/b", to(&[(1, "y", 1)]))]);
        let after = table(&[("b", "/b", to(&[(7, "y", 1)])), ("a", "/a", to(&[(3, "x", 1)]))]);
        assert_eq!(after.changes_since(&before), RouteChanges::default());
    }

    #[test]
    fn added_removed_and_changed_routes_are_listed() {
        let x = || to(&[(0, "x", 1)]);
        let before = table(&[("a", "/a", x()), ("b", "/b", x()), ("c", "/c", x())]);
        let after = table(&[("d", "/d", x()), ("b", "/other", x()), ("c", "/c", x())]);
        assert_eq!(said(&after, &before), ["d", "b", "a"].map(|name| vec![String::from(name)]));
    }

    #[test]
    fn whatever_a_route_does_is_compared() {
        let x = || forward(&[(0, "x", 1)]);
        let mirror = |percent| Mirror {
            service: 0,
            name: "x".into(),
            per_million: percent,
            buffer: 1,
            max_in_flight: 1,
        };
        let edit = HeaderEdit::Remove("x-a".into());
        let filters = Filters { request: [edit].into(), ..Filters::default() };
        let share = Share { filters: Some(Arc::new(filters)), ..Share::new(0, "x", 1) };
        let routes = [
            Route::Forward(x()),
            to(&[(0, "x", 2)]),
            to(&[(0, "y", 1)]),
            to(&[(0, "x", 1), (1, "y", 1)]),
            Route::Forward(Forward { split_by: Some("x-user".into()), ..x() }),
            Route::Forward(Forward { mirror: Some(mirror(1)), ..x() }),
            Route::Forward(Forward { mirror: Some(mirror(2)), ..x() }),
            Route::Forward(Forward::to(Split::new([share]))),
            Route::Redirect(Redirect::default()),
            Route::Redirect(Redirect { port: Some(1), ..Redirect::default() }),
        ];
        for (i, one) in routes.iter().enumerate() {
            for (j, other) in routes.iter().enumerate() {
                let (before, after) =
                    (table(&[("a", "/a", one.clone())]), table(&[("a", "/a", other.clone())]));
                let [.., changed, _] = said(&after, &before);
                assert_eq!(changed.is_empty(), i == j, "{one:?} {other:?}");
            }
        }
    }
}
