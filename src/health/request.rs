//! Builds the requests of checks.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};

use super::failure::Failure;
use super::{Check, Probe, grpc};
use crate::upstream::Version;

/// The methods of `grpc.health.v1`.
const CHECK: &str = "/grpc.health.v1.Health/Check";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Authority for a Unix socket.
const LOCALHOST: &str = "localhost";

/// The requests for one target, and its address.
pub(super) struct ProbeRequests {
    address: Box<str>,
    place: Box<str>,
    /// Template with the common headers.
    begin: Request<()>,
    authority: Box<str>,
    scheme: &'static str,
    body: Bytes,
}

impl ProbeRequests {
    /// The requests for the target at `address`, which is at `place` if that is a name.
    pub fn new(address: &str, place: Option<&str>, check: &Check) -> ProbeRequests {
        let asked = |address: &str| -> Box<str> {
            match (check.port, address.rsplit_once(':')) {
                (Some(port), Some((host, _))) if !is_path(address) => {
                    format!("{host}:{port}").into()
                }
                _ => address.into(),
            }
        };
        let place = asked(place.unwrap_or(address));
        let address = asked(address);
        let meant: &str = if is_path(&address) { LOCALHOST } else { &address };
        let authority: Box<str> = check.authority.clone().unwrap_or_else(|| meant.into());
        let mut begin = Request::new(());
        let fields = begin.headers_mut();
        fields.insert(header::USER_AGENT, HeaderValue::from_static("equipoise-health"));
        fields.extend(check.headers.iter().cloned());
        if check.version == Version::Http1
            && let Ok(host) = HeaderValue::from_str(&authority)
        {
            fields.insert(header::HOST, host);
        }
        let body = match &check.probe {
            Probe::Grpc(service) => grpc::encode_request(service),
            Probe::Http(..) | Probe::Tcp => Bytes::new(),
        };
        let scheme = if check.tls.is_some() { "https" } else { "http" };
        ProbeRequests { address, place, begin, authority, scheme, body }
    }

    /// The address that is asked, as it is configured.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where to connect to.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// A GET of `path`.
    pub fn get(&self, path: &str) -> Result<Request<()>, Failure> {
        self.request(Method::GET, path)
    }

    /// A Check call.
    pub fn check(&self) -> Result<(Request<()>, Bytes), Failure> {
        self.call(CHECK)
    }

    /// A Watch call.
    pub fn watch(&self) -> Result<(Request<()>, Bytes), Failure> {
        self.call(WATCH)
    }

    fn call(&self, path: &str) -> Result<(Request<()>, Bytes), Failure> {
        let mut request = self.request(Method::POST, path)?;
        let fields = request.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        fields.insert(header::TE, HeaderValue::from_static("trailers"));
        Ok((request, self.body.clone()))
    }

    fn request(&self, method: Method, path: &str) -> Result<Request<()>, Failure> {
        let uri = Uri::builder().scheme(self.scheme).authority(&*self.authority);
        let uri = uri.path_and_query(path).build().map_err(|error| Failure::broken(&error))?;
        let mut request = self.begin.clone();
        (*request.method_mut(), *request.uri_mut()) = (method, uri);
        Ok(request)
    }
}

fn is_path(address: &str) -> bool {
    address.starts_with("unix:")
}
