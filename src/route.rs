//! Which services a request goes to: the most specific of the routes that it matches.
//!
//! The order is the Gateway API's, of its GRPCRoute and HTTPRoute:
//!
//! 1. the host: the exact one, then the longest wildcard, then none;
//! 2. the path: a gRPC method, an exact path, a gRPC service, a regular expression (for which the
//!    Gateway API leaves the place open), the longest prefix, everything;
//! 3. a method before none, then the most headers, then the most query parameters;
//! 4. the route that stands first.
//!
//! A host, or a path, none of whose routes matches in full gives way to the next.

use std::sync::Arc;
use std::time::Duration;

mod changes;
mod conditions;
mod explain;
mod filters;
mod hosts;
mod index;
mod language;
mod matches;
mod name;
mod pattern;
mod request;
mod shadow;
mod slips;
mod split;
mod table;

pub(crate) use changes::RouteChanges;
pub(crate) use conditions::Unmet;
pub use conditions::{Conditions, FieldMatch, Fields, ValueMatch};
pub use explain::{Verdict, Why};
pub(crate) use filters::{Filters, HeaderEdit, Mirror, PathRewrite, Redirect, RedirectStatus};
pub(crate) use language::{Grammar, matches_some};
pub(crate) use matches::check_path;
pub use matches::{HostMatch, Match, PathMatch};
#[cfg(test)]
pub(crate) use name::MAX_NAME;
pub(crate) use name::check_name;
pub use pattern::Pattern;
pub(crate) use split::MAX_SHARE_WEIGHT;
pub use split::{Share, Split};
pub(crate) use table::{InsertError, MAX_PATTERNS};
pub use table::{RouteTable, RouteTableBuilder};

/// What of a request is looked at to find its route.
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
    /// The header.
    pub fields: &'a dyn Fields,
}

/// What becomes of the requests of one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// They go to services.
    Forward(Forward),
    /// The client is sent elsewhere.
    Redirect(Redirect),
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The services.
    pub split: Split,
    /// The header whose value decides on one of them, in lower case; without it chance does.
    pub split_by: Option<Box<str>>,
    /// Who else gets a copy.
    pub mirror: Option<Mirror>,
    /// What is done to its requests, whichever service they go to.
    pub policies: Arc<Policies>,
}

/// What is done to the requests of a route, and to their responses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// What changes on the way. A share that has filters of its own goes by those.
    pub filters: Option<Filters>,
    /// How long one may take, attempts included.
    pub timeout: Option<Duration>,
    /// To what the deadlines of callers are cut, and what holds where there is none.
    pub max_timeout: Option<Duration>,
}

impl Policies {
    /// How long a request may take, whatever its caller says.
    pub fn time_limit(&self) -> Option<Duration> {
        self.timeout.into_iter().chain(self.max_timeout).min()
    }
}

impl Forward {
    /// To these services by chance, and nobody else.
    pub fn to(split: Split) -> Forward {
        Forward { split, split_by: None, mirror: None, policies: Arc::default() }
    }
}

/// Where a route stands in the configuration, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The character in the line.
    pub column: u32,
}

#[cfg(test)]
mod tests;
