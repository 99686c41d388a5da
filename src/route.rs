//! Routing: which services a request goes to. The most specific matching route wins.
//!
//! Precedence is that of the Gateway API's GRPCRoute and HTTPRoute:
//!
//! 1. the host: exact, then the longest wildcard, then none;
//! 2. the path: a gRPC method, an exact path, a gRPC service, a regular expression (whose rank the
//!    Gateway API leaves open), the longest prefix, everything;
//! 3. an HTTP method before none, then the most headers, then the most query parameters;
//! 4. the first in the configuration.
//!
//! If no route of a host or a path matches in full, the next host or path in that order is tried.

use std::sync::Arc;
use std::time::Duration;

use crate::admission::RateLimit;
use crate::model::SanPattern;

mod changes;
mod conditions;
mod explain;
mod filters;
mod hosts;
mod index;
mod matches;
mod name;
mod pattern;
mod regex_inclusion;
mod request;
mod retry;
mod split;
mod table;
mod typos;
mod unreachable;

pub(crate) use changes::RouteChanges;
pub(crate) use conditions::Unmet;
pub use conditions::{Conditions, FieldMatch, Fields, ValueMatch};
pub use explain::{Verdict, Why};
pub(crate) use filters::{Filters, HeaderEdit, Mirror, PathRewrite, Redirect, RedirectStatus};
pub(crate) use matches::check_path;
pub use matches::{HostMatch, Match, PathMatch};
#[cfg(test)]
pub(crate) use name::MAX_NAME;
pub(crate) use name::check_name;
pub use pattern::Pattern;
pub(crate) use regex_inclusion::{Grammar, matches_some};
pub use retry::{
    Backoff, HedgeDelay, HedgePolicy, RetryOn, RetryPolicy, is_idempotent, names_call,
};
pub(crate) use split::MAX_SHARE_WEIGHT;
pub use split::{Share, Split};
pub(crate) use table::{InsertError, MAX_PATTERNS};
pub use table::{RouteTable, RouteTableBuilder};

/// The parts of a request that routing looks at.
#[derive(Clone, Copy)]
pub struct RouteQuery<'a> {
    /// `:authority`, with or without port.
    pub authority: &'a [u8],
    /// `:path`, with or without query.
    pub path: &'a [u8],
    /// `:method`.
    pub method: &'a [u8],
    /// Whether it is a gRPC request.
    pub grpc: bool,
    /// The header fields.
    pub fields: &'a dyn Fields,
}

/// What a route does with requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Forwards them to services.
    Forward(Forward),
    /// Answers with a redirect.
    Redirect(Redirect),
}

/// Where and how requests are forwarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The services, with their weights.
    pub split: Split,
    /// The header to hash for sticky splits, in lower case; without it the choice is random.
    pub split_by: Option<Box<str>>,
    /// The mirror that gets copies of requests.
    pub mirror: Option<Mirror>,
    /// Policies for requests to any of the services.
    pub policies: Arc<Policies>,
}

/// The policies of a route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// Filters; a share of the split with filters of its own uses those instead.
    pub filters: Option<Filters>,
    /// Timeout of a request, including retries.
    pub timeout: Option<Duration>,
    /// Upper bound on clients' deadlines, and the default for requests without one.
    pub max_timeout: Option<Duration>,
    /// Retries; without them, only what no backend has begun is sent again.
    pub retry: Option<RetryPolicy>,
    /// Hedging.
    pub hedge: Option<HedgePolicy>,
    /// How many requests are let through, if that is limited.
    pub rate_limit: Option<Arc<RateLimit>>,
    /// Whose requests are let through, by their certificates; those of all if empty.
    pub allowed_clients: Box<[SanPattern]>,
}

impl Policies {
    /// The timeout that applies without a client's deadline.
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.max_timeout).min()
    }

    /// Whether they send requests again that a backend may have begun.
    pub fn repeat(&self) -> bool {
        self.retry.is_some() || self.hedge.is_some()
    }
}

impl Forward {
    /// Forwards to these services by weight, without mirror or policies.
    pub fn to(split: Split) -> Forward {
        Forward { split, split_by: None, mirror: None, policies: Arc::default() }
    }
}

/// The source location of a route in the configuration file, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceLocation {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

#[cfg(test)]
mod tests;
