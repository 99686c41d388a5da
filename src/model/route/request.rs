//! A request, taken apart for the look-up.

use super::RouteQuery;

/// The parts of a request that are looked at below the host.
pub struct Request<'a> {
    pub query: &'a RouteQuery<'a>,
    /// Without query.
    pub path: &'a [u8],
    /// `/pkg.Service`, when the request is gRPC and has one.
    pub grpc_service: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    pub fn new(query: &'a RouteQuery<'a>) -> Request<'a> {
        let path = query.path.split(|b| *b == b'?').next().unwrap_or_default();
        let grpc_service = query.grpc.then(|| {
            let method = path.iter().skip(1).position(|b| *b == b'/')?;
            path.get(..=method)
        });
        Request { query, path, grpc_service: grpc_service.flatten() }
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
        Some(b'[') => authority.iter().position(|b| *b == b']').map(|at| at + 1),
        _ => authority.iter().position(|b| *b == b':'),
    };
    end.and_then(|end| authority.get(..end)).unwrap_or(authority)
}

/// The host of an authority, without the dot that says that a name is not relative: nobody takes
/// it for another host.
pub fn host(authority: &[u8]) -> &[u8] {
    let host = without_port(authority);
    host.strip_suffix(b".").unwrap_or(host)
}
