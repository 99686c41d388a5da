//! A request parsed for route lookup.

use memchr::memchr;

use super::RouteQuery;

/// The parts of a request that are looked up within a host.
pub struct Request<'a> {
    pub query: &'a RouteQuery<'a>,
    /// Without the query.
    pub path: &'a [u8],
    /// `/pkg.Service`, if the request is gRPC and has a service.
    pub grpc_service: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub fn new(query: &'a RouteQuery<'a>) -> Request<'a> {
        let path = match memchr(b'?', query.path) {
            Some(end) => query.path.get(..end).unwrap_or_default(),
            None => query.path,
        };
        let grpc_service = || path.get(..=memchr(b'/', path.get(1..)?)?);
        Request { query, path, grpc_service: query.grpc.then(grpc_service).flatten() }
    }

    /// `pkg.Service/Method`.
    pub fn grpc_method(&self) -> Option<&'a [u8]> {
        self.grpc_service?;
        self.path.get(1..)
    }
}

/// The host of an authority.
pub fn without_port(authority: &[u8]) -> &[u8] {
    let end = match authority.first() {
        Some(b'[') => memchr(b']', authority).map(|at| at + 1),
        _ => memchr(b':', authority),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

/// The host of an authority without a trailing dot (the root label), which does not make it another
/// host.
pub fn host(authority: &[u8]) -> &[u8] {
    let host = without_port(authority);
    host.strip_suffix(b".").unwrap_or(host)
}
