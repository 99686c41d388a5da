//! Keys of routes: match, filters, destination.

use std::time::Duration;

use super::RATE_LIMIT;
use super::retry::{HEDGE, RETRY};
use super::texts::{
    EXPRESSION, GRPC, HEADER, HEADER_EDIT, HEADER_VALUE, HOST, HTTP_METHOD, MATCH_HOST, NONEMPTY,
    PARAMETER, PATH, PERCENT, ROUTE_NAME, SERVICE_REF, VALUE_TEXT,
};
use super::tls::san;
use super::{DAY, MS};
use crate::config::filter::{editable, host, path, percent, show_percent};
use crate::config::matching::{MAX_FIELDS, header_name, http_method, prefix};
use crate::config::read;
use crate::model::SanPattern;
use crate::route::{
    HostMatch, MAX_SHARE_WEIGHT, PathMatch, Pattern, RedirectStatus, ValueMatch, check_name,
};
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Setting, Shape, Short, Text, ValueKind, Word, boolean,
    duration, number, section, size, text, word,
};

const fn service() -> Form<String> {
    text(&SERVICE_REF, read::text, Clone::clone)
}

section! {
    /// A route.
    pub static ROUTE: RouteKeys = "routes[]", short Short::Key("service"), also &FILTERS;

    name: Key<Box<str>> = text(&ROUTE_NAME, check_name, ToString::to_string), Absent::Words("made of service and match"),
        "what the route is called in `ctl route`, the log and the API; unique";
    r#match: Part = Shape::Mapping(&MATCH), Absent::Words("everything"), "which requests";
    service: Key<String> = service(), Absent::Nothing,
        "where they go; a route has this, `split` or `redirect`";
    split: Part = Shape::Mappings(&SHARE, Many::Some), Absent::Nothing,
        "shares of several services";
    split_by: Part = Shape::Mapping(&SPLIT_BY), Absent::Words("by chance"),
        "the same value always to the same service";
    mirror: Part = Shape::Mapping(&MIRROR), Absent::Nothing, "a second service that gets copies";
    redirect: Part = Shape::Mapping(&REDIRECT), Absent::Nothing,
        "send clients elsewhere; not for gRPC";
    timeout: Key<Duration> = duration(MS..=DAY), Absent::Words("none"),
        "what a request may take, attempts included: see [time-outs](#time-outs)";
    max_timeout: Key<Duration> = duration(MS..=DAY), Absent::Words("none"),
        "to this the deadlines of callers are cut, and it holds where there is none";
    retry: Part = Shape::Mapping(&RETRY), Absent::Words("what no backend has begun is sent once more"),
        "which failed attempts are made good by another; `retry: {}` is as the table has it";
    hedge: Part = Shape::Mapping(&HEDGE), Absent::Nothing,
        "a second attempt beside a slow first one, for requests that may run twice";
    rate_limit: Part = Shape::Mapping(&RATE_LIMIT), Absent::Words("no limit"),
        "how many requests are let through; others get RESOURCE_EXHAUSTED, 429, at once";
    allowed_clients: List<SanPattern> = san(), Many::Some, Absent::Words("all"),
        "whose requests are let through, by the certificate of their connection, as `allowed_clients` of a listener's `tls`; \
         others, and clients without a certificate, get PERMISSION_DENIED, 403";
}

section! {
    /// Filters, of a route or of a share of its split.
    pub static FILTERS: FilterKeys = "routes[]: filters";

    rewrite: Part = Shape::Mapping(&REWRITE), Absent::Nothing,
        "path and host as the backend sees them; of a share, instead of the route's";
    request_headers: Part = Shape::Mapping(&EDITS), Absent::Nothing,
        "what is changed in the head of requests; of a share, after those of the route";
    response_headers: Part = Shape::Mapping(&EDITS), Absent::Nothing,
        "what is changed in responses of backends; of a share, after those of the route";
}

section! {
    /// A route's match.
    pub static MATCH: MatchKeys = "routes[].match";

    host: Key<HostMatch> = text(&MATCH_HOST, HostMatch::parse, |host| format!("{host:?}")),
        Absent::Words("any"),
        "`shop.example`, or `*.shop.example` for what is below it; port, case and a dot at the end \
         make no difference";
    grpc: Key<PathMatch> = path_match(&GRPC, PathMatch::grpc), Absent::Nothing,
        "`shop.Orders/Get` for a method, `shop.Orders` for all of a service";
    grpc_regex: Key<PathMatch> = path_match(&EXPRESSION, |text| Pattern::new(text).map(PathMatch::GrpcRegex)),
        Absent::Nothing, "gRPC methods whose pkg.Service/Method matches as a whole";
    path: Key<PathMatch> = path_match(&PATH, PathMatch::exact), Absent::Nothing,
        "this path, whatever the query";
    path_prefix: Key<PathMatch> = path_match(&PATH, PathMatch::prefix), Absent::Nothing,
        "`/api` is /api and /api/x, not /apix";
    path_regex: Key<PathMatch> = path_match(&EXPRESSION, |text| Pattern::new(text).map(PathMatch::Regex)),
        Absent::Nothing, "paths that match as a whole";
    method: Key<Box<str>> = text(&HTTP_METHOD, http_method, ToString::to_string), Absent::Words("any"),
        "an HTTP method in capitals";
    headers: Part = Shape::Named(&HEADER, &VALUE, Many::UpTo(MAX_FIELDS)), Absent::Nothing,
        "what is asked of headers or metadata";
    query: Part = Shape::Named(&PARAMETER, &VALUE, Many::UpTo(MAX_FIELDS)), Absent::Nothing,
        "what is asked of query parameters";
}

const fn path_match(
    form: &'static Text,
    parse: fn(&str) -> Result<PathMatch, String>,
) -> Form<PathMatch> {
    text(form, parse, |path| format!("{path:?}"))
}

section! {
    /// A condition on a header or query parameter: exactly one of these.
    pub static VALUE: ValueKeys = "routes[].match.headers.*", short Short::Key("exact");

    exact: Key<ValueMatch> = text(&VALUE_TEXT, |text| Ok(ValueMatch::Exact(text.into())), |value| format!("{value:?}")),
        Absent::Nothing, "has this value";
    prefix: Key<ValueMatch> = text(&NONEMPTY, prefix, |value| format!("{value:?}")),
        Absent::Nothing, "begins so";
    regex: Key<ValueMatch> = text(&EXPRESSION, |text| Pattern::new(text).map(ValueMatch::Regex), |value| format!("{value:?}")),
        Absent::Nothing, "matches as a whole";
    present: Key<bool> = boolean(), Absent::Nothing, "is there, or is not";
}

section! {
    /// A share of a split.
    pub static SHARE: ShareKeys = "routes[].split[]", short Short::Key("service"), also &FILTERS;

    service: Key<String> = service(), Absent::Required("add `service: NAME`"),
        "where this share goes";
    weight: Setting<u32> = number(0..=MAX_SHARE_WEIGHT as u64), 1,
        "its part of all weights; 0 gets none";
}

section! {
    /// What a sticky split hashes.
    pub static SPLIT_BY: SplitBy = "routes[].split_by", short Short::Key("header");

    header: Key<Box<str>> = text(&HEADER, header_name, ToString::to_string),
        Absent::Required("add `header: NAME`"),
        "the header whose value decides; without it, chance does";
}

const fn any_path() -> Form<Box<str>> {
    text(&PATH, path, ToString::to_string)
}

const fn one_host() -> Form<Box<str>> {
    text(&HOST, host, ToString::to_string)
}

section! {
    /// A rewrite of path or host.
    pub static REWRITE: RewriteKeys = "routes[].rewrite";

    host: Key<Box<str>> = one_host(), Absent::Nothing, "instead of the client's";
    path: Key<Box<str>> = any_path(), Absent::Nothing,
        "instead of all of the path; the query stays";
    prefix: Key<Box<str>> = any_path(), Absent::Nothing,
        "instead of what `path_prefix` matches; not with `path`";
}

section! {
    /// Header edits, applied in this order.
    pub static EDITS: EditKeys = "routes[].request_headers";

    set: Part = Shape::NamedValues(&HEADER_EDIT, ValueKind::Text(&HEADER_VALUE)), Absent::Nothing,
        "this value and no other";
    add: Part = Shape::NamedValues(&HEADER_EDIT, ValueKind::Text(&HEADER_VALUE)), Absent::Nothing,
        "this value too";
    remove: List<Box<str>> = text(&HEADER_EDIT, editable, ToString::to_string), Many::Any,
        Absent::Nothing, "all values";
}

/// The scheme of a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scheme(pub &'static str);

impl Word for Scheme {
    const WORDS: &'static [(&'static str, Scheme)] =
        &[("http", Scheme("http")), ("https", Scheme("https"))];
}

impl Word for RedirectStatus {
    const WORDS: &'static [(&'static str, RedirectStatus)] = &RedirectStatus::ALL;
}

section! {
    /// A redirect.
    pub static REDIRECT: RedirectKeys = "routes[].redirect";

    scheme: Key<Scheme> = word(), Absent::Nothing, "without `port`, on its usual port";
    host: Key<Box<str>> = one_host(), Absent::Nothing, "the new host";
    port: Key<u16> = number(1..=65_535), Absent::Nothing, "the new port";
    path: Key<Box<str>> = any_path(), Absent::Nothing, "instead of all of the path";
    prefix: Key<Box<str>> = any_path(), Absent::Nothing,
        "instead of what `path_prefix` matches; not with `path`";
    status: Setting<RedirectStatus> = word(), RedirectStatus::Found, "the status of the answer";
}

section! {
    /// A mirror.
    pub static MIRROR: MirrorKeys = "routes[].mirror", short Short::Key("service");

    service: Key<String> = service(), Absent::Required("add `service: NAME`"),
        "what gets the copies";
    percent: Setting<u32> = text(&PERCENT, percent, show_percent), 1_000_000, "of the requests";
    buffer: Setting<usize> = size(1 << 10..=16 << 20), 64 << 10,
        "of a request that may wait for the mirror; beyond, its copy is given up";
    max_in_flight: Setting<usize> = number(1..=100_000), 100,
        "copies that one worker may have under way; more are not made";
}
