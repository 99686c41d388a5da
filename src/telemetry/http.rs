//! HTTP endpoints of the metrics port: `/metrics`, health and readiness.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST,
    HeaderName, HeaderValue, REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::Mutex;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::HealthService;
use tower::Service as _;

use super::encoding::Encoding;
use super::entrance::{Entrance, Refused};
use super::export::Exporter;
use crate::clock::{self, LogThrottle};

/// Path prefix of `grpc.health.v1`.
const GRPC_HEALTH: &str = "/grpc.health.v1.Health/";

/// Whether the gateway should get new traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet: listeners are not open.
    Starting,
    /// Ready.
    Ready,
    /// No more: a worker has died, and the others may not suffice.
    Crippled,
    /// No more: shutting down.
    Draining,
}

/// Everything that requests are answered from.
#[derive(Clone)]
pub(super) struct Responder {
    pub exporter: Exporter,
    pub readiness: tokio::sync::watch::Receiver<Readiness>,
    pub health: HealthServer<HealthService>,
    /// Who may ask.
    pub entrance: Arc<Entrance>,
    /// Throttles the log of what is refused.
    pub throttle: Arc<Mutex<LogThrottle>>,
}

impl Responder {
    /// Answers `request` of a client whose certificate is good until `certified`, if it has shown one.
    pub async fn respond(
        mut self,
        request: Request<Incoming>,
        certified: Option<SystemTime>,
    ) -> Response<Body> {
        let grpc = request.version() == Version::HTTP_2;
        if grpc && request.uri().path().starts_with(GRPC_HEALTH) {
            let Ok(response) = self.health.call(request).await;
            return response;
        }
        if request.headers().get(CONTENT_TYPE).is_some_and(is_grpc) {
            let elsewhere = "there is grpc.health.v1 here, and no other service";
            return Status::unimplemented(elsewhere).into_http();
        }
        let response = match misdirected(&request, &self.entrance) {
            Some(refusal) => refusal,
            None => self.answer(&request, certified).await,
        };
        guarded(response).map(Body::new)
    }

    async fn answer<B>(
        &self,
        request: &Request<B>,
        certified: Option<SystemTime>,
    ) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            response.headers_mut().insert(ALLOW, allowed);
            return response;
        }
        let path = request.uri().path();
        if !matches!(path, "/metrics" | "/healthz" | "/readyz") {
            let known = "not found; there are /metrics, /healthz and /readyz\n";
            return plain(StatusCode::NOT_FOUND, known);
        }
        let readiness = *self.readiness.borrow();
        match (path, readiness) {
            ("/metrics", _) => {
                let headers = request.headers();
                match self.entrance.may_read(headers, certified, clock::wall()) {
                    Ok(()) => metrics(headers, &self.exporter).await,
                    Err(refused) => self.refuse(&refused).await,
                }
            }
            ("/healthz", _) => plain(StatusCode::OK, "alive\n"),
            (_, Readiness::Ready) => plain(StatusCode::OK, "ready\n"),
            (_, Readiness::Starting) => plain(StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
            (_, Readiness::Crippled) => {
                plain(StatusCode::SERVICE_UNAVAILABLE, "a worker has ended: see the log\n")
            }
            (_, Readiness::Draining) => plain(StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        }
    }

    async fn refuse(&self, refused: &Refused) -> Response<Full<Bytes>> {
        if self.throttle.lock().await.is_due() {
            tracing::warn!(why = %refused, "metrics: somebody may not read them");
        }
        let status = match refused {
            Refused::Unauthenticated(_) => StatusCode::UNAUTHORIZED,
            Refused::Denied(_) => StatusCode::FORBIDDEN,
        };
        let why = Bytes::from(format!("{refused}\n"));
        let mut response = text(status, "text/plain; charset=utf-8", why);
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
        }
        response
    }
}

fn is_grpc(content_type: &HeaderValue) -> bool {
    content_type.as_bytes().starts_with(b"application/grpc")
}

/// The answer to a request that names a host by which it may not be asked. Browsers name one, so a
/// request that names none passes.
fn misdirected<B>(request: &Request<B>, entrance: &Entrance) -> Option<Response<Full<Bytes>>> {
    let fields: Vec<_> = request.headers().get_all(HOST).iter().collect();
    if fields.len() > 1 {
        return Some(plain(StatusCode::BAD_REQUEST, "more than one host\n"));
    }
    let named = fields.into_iter().map(|field| field.to_str().unwrap_or_default());
    let mut named = named.chain(request.uri().authority().map(|authority| authority.as_str()));
    named.any(|host| !host.is_empty() && !entrance.allows_host(host)).then(|| {
        let how = "this host is not allowed here: ask by an IP address, or add the name to `hosts` of \
                   `metrics` in the configuration of the gateway\n";
        plain(StatusCode::FORBIDDEN, how)
    })
}

/// Headers that leave a browser nothing to do with a response but to show it.
const GUARDS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "no-store"),
    (X_FRAME_OPTIONS, "DENY"),
    (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

fn guarded(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    for (name, value) in GUARDS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn metrics(headers: &HeaderMap, exporter: &Exporter) -> Response<Full<Bytes>> {
    let encoding = Encoding::negotiate(headers);
    match exporter.scrape(encoding).await {
        Ok(page) => {
            let mut response = text(StatusCode::OK, encoding.format.content_type(), page);
            if encoding.gzip {
                let gzip = HeaderValue::from_static("gzip");
                response.headers_mut().insert(CONTENT_ENCODING, gzip);
            }
            response
        }
        Err(error) => {
            tracing::error!(%error, "metrics: cannot write the page");
            plain(StatusCode::INTERNAL_SERVER_ERROR, "cannot write metrics\n")
        }
    }
}

fn plain(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let body = Bytes::from_static(body.as_bytes());
    text(status, "text/plain; charset=utf-8", body)
}

fn text(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}
