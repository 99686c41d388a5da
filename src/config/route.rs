//! Routes: what they ask of a request, and the services it then goes to.

use std::collections::HashMap;

use super::node::Node;
use super::read::{Fields, count, items, scalar, text};
use super::report::{Problems, Span};
use crate::model::route::{HostMatch, Match, PathMatch};
use crate::model::{Route, RouteTable, nearest};

/// The largest weight in a split.
const MAX_SPLIT_WEIGHT: u64 = 1_000_000;

const HELP_TARGET: &str = "add `service: NAME`, or `split: [ { service: NAME, weight: 1 } ]`";

/// Reads `routes`, and keeps what they have in common.
pub struct Routes<'a> {
    problems: &'a Problems,
    services: &'a HashMap<&'a str, usize>,
    table: RouteTable,
    /// Where each row of the table stands.
    places: Vec<Span>,
    used: Vec<bool>,
}

impl<'a> Routes<'a> {
    /// No routes yet; they may go to `services`.
    pub fn new(services: &'a HashMap<&'a str, usize>, problems: &'a Problems) -> Routes<'a> {
        Routes {
            problems,
            services,
            table: RouteTable::default(),
            places: Vec::new(),
            used: vec![false; services.len()],
        }
    }

    /// Reads one of `routes`.
    pub fn add(&mut self, node: &Node) {
        let mut fields = Fields::of(node, self.problems);
        let asked = fields.get("match");
        let matched = asked.map_or(Some(Match::default()), |node| self.read_match(node));
        let split = fields.get("split");
        let service = match fields.has("split") {
            true => fields.get("service"),
            false => fields.require("service", HELP_TARGET),
        };
        let route = match (service, split) {
            (Some(service), None) => self.service(service).map(Route::to),
            (None, Some(split)) => self.read_split(split),
            (Some(_), Some(split)) => {
                let help = "keep `service` for one service, or `split` for several";
                self.problems.error(split.span, "a route has `service` or `split`, not both", help);
                None
            }
            (None, None) => None,
        };
        fields.finish();
        let Some((matched, route)) = matched.zip(route) else {
            return;
        };
        let span = asked.map_or(node.span, |asked| asked.span);
        match self.table.insert(&matched, route) {
            Ok(()) => self.places.push(span),
            Err(earlier) => {
                let first = self.places.get(earlier).copied().unwrap_or(span);
                self.problems.error_again(span, "the same match stands in two routes", first);
            }
        }
    }

    /// The table, and for each service whether a route goes to it.
    pub fn finish(self) -> (RouteTable, Vec<bool>) {
        (self.table, self.used)
    }

    fn read_match(&self, node: &Node) -> Option<Match> {
        let mut fields = Fields::of(node, self.problems);
        let problems = self.problems;
        let before = problems.count();
        let host = fields.parsed("host", HostMatch::parse);
        let paths = [
            fields.get("grpc").map(|node| (node, PathMatch::grpc as fn(&str) -> _)),
            fields.get("path").map(|node| (node, PathMatch::exact as fn(&str) -> _)),
            fields.get("path_prefix").map(|node| (node, PathMatch::prefix as fn(&str) -> _)),
        ];
        let mut paths = paths.into_iter().flatten();
        let path = paths.next().and_then(|(node, parse)| scalar(node, problems, parse));
        if paths.next().is_some() {
            let message = "a match has one of `grpc`, `path` and `path_prefix`";
            problems.error(node.span, message, "make it several routes");
        }
        fields.finish();
        // Half a match would be another match, and clash with those of others.
        (problems.count() == before)
            .then(|| Match { host: host.unwrap_or_default(), path: path.unwrap_or_default() })
    }

    fn read_split(&mut self, node: &Node) -> Option<Route> {
        let mut targets = Vec::new();
        let mut whole = true;
        for item in items(node, self.problems) {
            let mut target = Fields::of(item, self.problems);
            let service = target.require("service", "add `service: NAME`");
            let mut weight = 1;
            target.set("weight", &mut weight, count(0..=MAX_SPLIT_WEIGHT));
            target.finish();
            match service.and_then(|service| self.service(service)) {
                Some(service) => targets.push((service, weight)),
                None => whole = false,
            }
        }
        if !whole || targets.is_empty() {
            return None;
        }
        let route = Route::split(targets);
        if route.is_none() {
            let help = "give one of them a weight of 1 at least";
            self.problems.error(node.span, "all weights are 0", help);
        }
        route
    }

    /// The index of the service that `node` names.
    fn service(&mut self, node: &Node) -> Option<usize> {
        let name = scalar(node, self.problems, text)?;
        let Some(index) = self.services.get(&*name).copied() else {
            let near = nearest(&name, self.services.keys().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it under `services`".into(),
            };
            self.problems.error(node.span, format!("there is no service `{name}`"), help);
            return None;
        };
        if let Some(used) = self.used.get_mut(index) {
            *used = true;
        }
        Some(index)
    }
}
