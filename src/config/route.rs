//! Reads routes.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::keys::{MIRROR, ROUTE, SHARE, SPLIT_BY};
use super::node::Node;
use super::read::{Fields, scalar};
use super::report::{Problems, Severity, Span};
use super::{filter, lint, matching, policies};
use crate::route::{
    Filters, Forward, InsertError, MAX_PATTERNS, Match, Mirror, PathMatch, Route, RouteTable,
    RouteTableBuilder, Share, Split,
};
use crate::text::keys::{Keys, Row};
use crate::text::nearest;

const HELP_TARGET: &str = "add `service: NAME`, or `split: [ { service: NAME, weight: 1 } ]`";

/// Reads `routes`, and builds the table.
pub struct Routes<'a> {
    problems: &'a Problems,
    services: &'a HashMap<&'a str, usize>,
    /// Indices of services that speak HTTP/1.1.
    http1: &'a HashSet<&'a str>,
    table: RouteTableBuilder,
    /// Number of routes read so far, including invalid ones.
    count: usize,
    /// The source location of each row of the table.
    spans: Vec<Spans>,
    used: Vec<bool>,
}

/// The source locations of a route's match and name.
#[derive(Clone, Copy)]
struct Spans {
    asked: Span,
    named: Span,
}

impl<'a> Routes<'a> {
    /// No routes yet; `services` may be targets, of which `http1` speak HTTP/1.1.
    pub fn new(
        services: &'a HashMap<&'a str, usize>,
        http1: &'a HashSet<&'a str>,
        problems: &'a Problems,
    ) -> Routes<'a> {
        Routes {
            problems,
            services,
            http1,
            table: RouteTableBuilder::default(),
            count: 0,
            spans: Vec::new(),
            used: vec![false; services.len()],
        }
    }

    /// Reads one of `routes`. Its errors are attributed to its name, or to its index while the name
    /// is unknown.
    pub fn add(&mut self, node: &Node) {
        let before = self.problems.count();
        self.count += 1;
        let name = self.read(node).map(|name| format!("`{name}`"));
        let name = name.unwrap_or_else(|| self.count.to_string());
        self.problems.name_route(before, &name);
    }

    /// Adds one of `routes` to the table; returns the name it has, or would have.
    fn read(&mut self, node: &Node) -> Option<Box<str>> {
        let mut fields = Fields::of(node, &ROUTE, self.problems);
        let named = fields.get(&ROUTE.name);
        let given = fields.optional(&ROUTE.name);
        let asked = fields.get(&ROUTE.r#match);
        let matched =
            asked.map_or(Some(Match::default()), |node| matching::read(node, self.problems));
        let path = matched.as_ref().map(|matched| &matched.path);
        let route = match fields.get(&ROUTE.redirect) {
            Some(node) => self.read_redirect(node, &fields, path),
            None => self.read_forward(&mut fields, path),
        };
        fields.finish();
        let (Some((matched, route)), true) =
            (matched.zip(route), given.is_some() == named.is_some())
        else {
            return given;
        };
        let asked = asked.map_or(node.span, |asked| asked.span);
        lint::protocol(&matched.path, &route, self.http1, asked, self.problems);
        let spans = Spans { asked, named: named.map_or(asked, |named| named.span) };
        self.insert(given, matched, route, node, spans)
    }

    fn insert(
        &mut self,
        name: Option<Box<str>>,
        matched: Match,
        route: Route,
        node: &Node,
        spans: Spans,
    ) -> Option<Box<str>> {
        let earlier = |number: usize| self.spans.get(number).copied().unwrap_or(spans);
        match self.table.insert(name.clone(), matched, route, node.span.place()) {
            Ok(number) => {
                self.table.hide(number, node.hidden());
                self.spans.push(spans);
                return self.table.name(number).map(Box::from);
            }
            Err(InsertError::Duplicate(number)) => {
                let message = "the same match stands in two routes";
                self.problems.error_again(spans.asked, message, earlier(number).asked);
            }
            Err(InsertError::NameTaken(number, name)) => {
                let message = format!("two routes are called `{name}`");
                let help = "give one of them another `name`";
                self.problems.beside(
                    Severity::Error,
                    spans.named,
                    message,
                    help,
                    earlier(number).named,
                );
                return Some(name);
            }
            Err(InsertError::TooManyPatterns) => {
                let message = format!(
                    "more than {MAX_PATTERNS} routes of this host have a regular expression for \
                     the path"
                );
                let help = "each is tried in turn: use `path`, `path_prefix` or `grpc`";
                self.problems.error(spans.asked, message, help);
            }
        }
        name
    }

    /// Reads a route to services. `path` is its match, if valid.
    fn read_forward(&mut self, fields: &mut Fields<'_>, path: Option<&PathMatch>) -> Option<Route> {
        let filters = filter::read(fields, Filters::default(), path, self.problems);
        let split = fields.get(&ROUTE.split);
        let service = match fields.has(&ROUTE.split) {
            true => fields.get(&ROUTE.service),
            false => fields.require(&ROUTE.service, HELP_TARGET),
        };
        let split = match (service, split) {
            (Some(node), None) => {
                let name = scalar(node, self.problems, |text| ROUTE.service.form.read(text))?;
                Some(Split::new([self.share((name, node.span), 1)?]))
            }
            (None, Some(_)) => self.read_split(fields, &filters, path),
            (Some(_), Some(split)) => {
                let help = "keep `service` for one service, or `split` for several";
                self.problems.error(split.span, "a route has `service` or `split`, not both", help);
                None
            }
            (None, None) => None,
        };
        let split_by = fields.get(&ROUTE.split_by).and_then(|node| self.read_split_by(node));
        let mirror = fields.get(&ROUTE.mirror).and_then(|node| self.read_mirror(node));
        let policies = Arc::new(policies::read(fields, filters, self.problems));
        Some(Route::Forward(Forward { split: split?, split_by, mirror, policies }))
    }

    /// Reads a route that redirects.
    fn read_redirect(
        &self,
        node: &Node,
        fields: &Fields<'_>,
        path: Option<&PathMatch>,
    ) -> Option<Route> {
        let of_redirects = [ROUTE.name.name(), ROUTE.r#match.name(), ROUTE.redirect.name()];
        for key in ROUTE.section().rows().filter(|row| !of_redirects.contains(&row.name())) {
            if let Some(node) = fields.get(key) {
                let help = format!("leave `{}` out", key.name());
                self.problems.error(node.span, "a redirect goes to no service", help);
            }
        }
        if path.is_some_and(PathMatch::is_grpc) {
            let help = "rewrite the request and send it to the right service instead";
            self.problems.error(node.span, "gRPC clients follow no redirect", help);
        }
        filter::redirect(node, path, self.problems).map(Route::Redirect)
    }

    /// Reads `split_by`: the header that makes a split sticky.
    fn read_split_by(&self, node: &Node) -> Option<Box<str>> {
        let fields = Fields::of(node, &SPLIT_BY, self.problems);
        let header = fields.optional(&SPLIT_BY.header);
        fields.finish();
        header
    }

    /// The table, and for each service whether it is used by a route.
    pub fn finish(self) -> (RouteTable, Vec<bool>) {
        let table = self.table.finish();
        for (number, greedy) in table.unreachable() {
            let spans = self.spans.get(number).zip(self.spans.get(greedy));
            if let Some((spans, greedy)) = spans {
                let message =
                    "no request reaches this route: a regular expression takes all of its";
                let help = "narrow that `path_regex` or `grpc_regex`, or remove this route";
                self.problems.beside(Severity::Warning, spans.asked, message, help, greedy.asked);
            }
        }
        (table, self.used)
    }

    /// Reads `mirror`.
    fn read_mirror(&mut self, node: &Node) -> Option<Mirror> {
        let fields = Fields::of(node, &MIRROR, self.problems);
        let service = fields.placed(&MIRROR.service);
        let per_million = fields.value(&MIRROR.percent);
        let buffer = fields.value(&MIRROR.buffer);
        let max_in_flight = fields.value(&MIRROR.max_in_flight);
        fields.finish();
        let (name, service) = self.service(service?)?;
        Some(Mirror { service, name: name.into(), per_million, buffer, max_in_flight })
    }

    fn read_split(
        &mut self,
        fields: &Fields<'_>,
        filters: &Filters,
        path: Option<&PathMatch>,
    ) -> Option<Split> {
        let mut shares = Vec::new();
        let items = fields.items(&ROUTE.split);
        for item in items {
            let target = Fields::of(item, &SHARE, self.problems);
            let service = target.placed(&SHARE.service);
            let weight = target.value(&SHARE.weight);
            let own = filter::read(&target, filters.clone(), path, self.problems);
            target.finish();
            let own = (own != *filters).then(|| Arc::new(own));
            let share = service.and_then(|service| self.share(service, weight));
            shares.extend(share.map(|share| Share { filters: own, ..share }));
        }
        if shares.len() < items.len() || shares.is_empty() {
            return None;
        }
        if shares.iter().all(|share| share.weight == 0) {
            let help = "the route's requests are UNAVAILABLE until one is raised";
            let at = fields.get(&ROUTE.split).map_or(Span::at(0), |node| node.span);
            self.problems.warn(at, "all weights are 0", help);
        }
        Some(Split::new(shares))
    }

    /// A share of the service named.
    fn share(&mut self, named: (String, Span), weight: u32) -> Option<Share> {
        let (name, service) = self.service(named)?;
        Some(Share::new(service, &name, weight))
    }

    /// Looks up the service named, and returns its name and index.
    fn service(&mut self, (name, at): (String, Span)) -> Option<(String, usize)> {
        let Some(index) = self.services.get(&*name).copied() else {
            let near = nearest(&name, self.services.keys().copied());
            let help = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => "add it under `services`".into(),
            };
            self.problems.error(at, format!("there is no service `{name}`"), help);
            return None;
        };
        if let Some(used) = self.used.get_mut(index) {
            *used = true;
        }
        Some((name, index))
    }
}
