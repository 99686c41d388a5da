//! A stub of a Kubernetes API server, as far as it is documented for EndpointSlices: lists in pages,
//! watches, bookmarks, errors.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

/// The namespace of everything.
pub const NAMESPACE: &str = "shop";

/// The service that the slices are of.
pub const SERVICE: &str = "orders";

/// Where slices are listed.
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices";

type Body = BoxBody<Bytes, io::Error>;

/// A stub of an API server.
pub struct ApiServer {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    secure: bool,
    serving: JoinHandle<()>,
}

struct State {
    version: u64,
    /// By name, each with the version of its last change.
    slices: BTreeMap<String, Value>,
    /// Every change since `oldest`, with its version.
    events: Vec<(u64, Value)>,
    /// Watches from an older version are answered by 410.
    oldest: u64,
    /// The token that is let in, if one is wanted.
    token: Option<String>,
    /// The largest page.
    page: usize,
    /// So many pages after the first have expired.
    expired_pages: usize,
    /// The answer to all lists, unless they are well.
    refusal: Option<StatusCode>,
    /// So many watches will begin too late, and so many have.
    late: usize,
    too_late: usize,
    asked: Vec<String>,
    watches: broadcast::Sender<Shot>,
}

/// What happens to a watch.
#[derive(Clone)]
enum Shot {
    Bytes(Bytes),
    End,
    Cut,
}

impl ApiServer {
    /// A server in clear text.
    pub async fn start() -> ApiServer {
        ApiServer::with(None).await
    }

    /// A server, with TLS if there are settings for it.
    pub async fn with(tls: Option<rustls::ServerConfig>) -> ApiServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State {
            version: 1000,
            slices: BTreeMap::new(),
            events: Vec::new(),
            oldest: 1000,
            token: None,
            page: usize::MAX,
            expired_pages: 0,
            refusal: None,
            late: 0,
            too_late: 0,
            asked: Vec::new(),
            watches: broadcast::Sender::new(4096),
        }));
        let shared = Arc::clone(&state);
        let secure = tls.is_some();
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let serving = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (state, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, state).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, state).await;
                            }
                        }
                    }
                });
            }
        });
        ApiServer { address, state, secure, serving }
    }

    /// Ends it, with all connections.
    pub fn kill(&self) {
        self.serving.abort();
    }

    /// A kubeconfig in `folder`, with these lines of the cluster and of the user.
    pub fn kubeconfig(&self, folder: &Path, cluster: &str, user: &str) -> PathBuf {
        let path = folder.join("kubeconfig");
        let scheme = if self.secure { "https" } else { "http" };
        let text = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
             contexts: [ {{ name: test, context: {{ cluster: c, user: u, namespace: {NAMESPACE} }} }} ]\n\
             clusters: [ {{ name: c, cluster: {{ server: '{scheme}://{}'{cluster} }} }} ]\n\
             users: [ {{ name: u, user: {{ {user} }} }} ]\n",
            self.address,
        );
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Adds or changes a slice.
    pub fn put(&self, slice: Value) {
        self.state().put(slice);
    }

    /// Deletes a slice.
    pub fn delete(&self, name: &str) {
        self.state().delete(name);
    }

    /// Changes that watches are not told of, and that later ones cannot be: the history is lost.
    pub fn behind_their_backs(&self, slices: impl IntoIterator<Item = Value>, deleted: &[&str]) {
        let mut state = self.state();
        let watches = std::mem::replace(&mut state.watches, broadcast::Sender::new(1));
        slices.into_iter().for_each(|slice| state.put(slice));
        deleted.iter().for_each(|name| state.delete(name));
        state.watches = watches;
        state.compact();
    }

    /// Bytes to every watch, as they are.
    pub fn send(&self, bytes: impl Into<Bytes>) {
        let _ = self.state().watches.send(Shot::Bytes(bytes.into())); // nobody may watch
    }

    pub fn bookmark(&self) {
        let version = self.state().version.to_string();
        let object = json!({ "kind": "EndpointSlice", "metadata": { "resourceVersion": version } });
        self.send(line("BOOKMARK", &object));
    }

    /// Ends all watches, as when their time is over.
    pub fn end_watches(&self) {
        let _ = self.state().watches.send(Shot::End); // as above
    }

    /// Breaks the connections of all watches.
    pub fn cut_watches(&self) {
        let _ = self.state().watches.send(Shot::Cut); // as above
    }

    /// How many watches there are.
    pub fn watches(&self) -> usize {
        self.state().watches.receiver_count()
    }

    /// Wants this token from now on.
    pub fn want_token(&self, token: &str) {
        self.state().token = Some(token.into());
    }

    /// Answers lists so from now on.
    pub fn refuse_lists(&self, with: Option<StatusCode>) {
        self.state().refusal = with;
    }

    /// Gives so many slices in a page, and lets so many later pages expire.
    pub fn page(&self, slices: usize, expired: usize) {
        let mut state = self.state();
        (state.page, state.expired_pages) = (slices, expired);
    }

    /// Forgets the history between a list and its watch, so many times.
    pub fn compact_before_watches(&self, times: usize) {
        self.state().late = times;
    }

    /// How many watches were too late.
    pub fn too_late(&self) -> usize {
        self.state().too_late
    }

    /// The paths with their queries that were asked for.
    pub fn asked(&self) -> Vec<String> {
        self.state().asked.clone()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A slice of the service with one port, `grpc`.
pub fn slice(name: &str, port: u16, endpoints: impl IntoIterator<Item = Value>) -> Value {
    let endpoints: Vec<Value> = endpoints.into_iter().collect();
    json!({
        "kind": "EndpointSlice",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "labels": {
                "kubernetes.io/service-name": SERVICE,
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            },
        },
        "addressType": "IPv4",
        "ports": [{ "name": "grpc", "port": port, "protocol": "TCP" }],
        "endpoints": endpoints,
    })
}

/// An endpoint that is ready.
pub fn ready(ip: &str) -> Value {
    let conditions = json!({ "ready": true, "serving": true, "terminating": false });
    json!({ "addresses": [ip], "conditions": conditions })
}

/// An endpoint that finishes what it has.
pub fn terminating(ip: &str) -> Value {
    let conditions = json!({ "ready": false, "serving": true, "terminating": true });
    json!({ "addresses": [ip], "conditions": conditions })
}

/// A line of a watch.
pub fn line(kind: &str, object: &Value) -> String {
    format!("{}\n", json!({ "type": kind, "object": object }))
}

impl State {
    fn put(&mut self, mut slice: Value) {
        self.version += 1;
        slice["metadata"]["resourceVersion"] = self.version.to_string().into();
        let name = slice["metadata"]["name"].as_str().unwrap().to_owned();
        let known = self.slices.insert(name, slice.clone()).is_some();
        self.tell(if known { "MODIFIED" } else { "ADDED" }, slice);
    }

    fn delete(&mut self, name: &str) {
        self.version += 1;
        let mut slice = self.slices.remove(name).unwrap();
        slice["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.tell("DELETED", slice);
    }

    fn tell(&mut self, kind: &str, slice: Value) {
        let _ = self.watches.send(Shot::Bytes(line(kind, &slice).into())); // nobody may watch
        self.events.push((self.version, json!({ "type": kind, "object": slice })));
    }

    /// Forgets what has changed.
    fn compact(&mut self) {
        self.events.clear();
        self.oldest = self.version;
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<Mutex<State>>,
) {
    let service = service_fn(|request| {
        let answer = answer(&request, &state);
        async move { Ok::<_, Infallible>(answer) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await; // clients go
}

fn answer(request: &Request<Incoming>, state: &Mutex<State>) -> Response<Body> {
    let mut state = state.lock().unwrap();
    let uri = request.uri();
    state.asked.push(uri.to_string());
    let wanted = state.token.as_ref().map(|token| format!("Bearer {token}"));
    let given = request.headers().get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
    if wanted.as_deref().is_some_and(|wanted| Some(wanted.as_bytes()) != given) {
        return failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized");
    }
    let query = uri.query().unwrap_or_default();
    match uri.path() {
        SLICES if value(query, "watch").is_some_and(|it| it == "1" || it == "true") => {
            watch(&mut state, query)
        }
        SLICES => list(&mut state, query),
        path => match about(path) {
            Some(object) => whole(StatusCode::OK, &object),
            None => {
                let message = "the server could not find the requested resource";
                failure(StatusCode::NOT_FOUND, "NotFound", message)
            }
        },
    }
}

/// What kubectl asks first.
fn about(path: &str) -> Option<Value> {
    let group = json!({ "groupVersion": "discovery.k8s.io/v1", "version": "v1" });
    match path {
        "/version" => Some(json!({
            "major": "1", "minor": "32", "gitVersion": "v1.32.4", "gitCommit": "", "gitTreeState": "",
            "buildDate": "2025-01-01T00:00:00Z", "goVersion": "", "compiler": "", "platform": "",
        })),
        "/api" => Some(json!({ "kind": "APIVersions", "versions": ["v1"] })),
        "/api/v1" => Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [],
        })),
        "/apis" => Some(json!({
            "kind": "APIGroupList", "apiVersion": "v1", "groups": [{
                "name": "discovery.k8s.io", "versions": [group], "preferredVersion": group,
            }],
        })),
        "/apis/discovery.k8s.io/v1" => Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "discovery.k8s.io/v1",
            "resources": [{
                "name": "endpointslices", "singularName": "endpointslice", "namespaced": true,
                "kind": "EndpointSlice", "verbs": ["get", "list", "watch"],
            }],
        })),
        _ => None,
    }
}

/// Whether the query selects this slice by its labels.
fn selects(query: &str, slice: &Value) -> bool {
    let Some(selector) = value(query, "labelSelector") else { return true };
    let (label, value) = selector.split_once('=').unwrap();
    slice["metadata"]["labels"][label] == value
}

fn list(state: &mut State, query: &str) -> Response<Body> {
    if let Some(status) = state.refusal {
        return failure(status, "Refused", "refused by the test");
    }
    let next = value(query, "continue");
    if next.is_some() && state.expired_pages > 0 {
        state.expired_pages -= 1;
        let message = "The provided continue parameter is too old";
        return failure(StatusCode::GONE, "Expired", message);
    }
    // With characters that a query has to encode.
    let from: usize = next.map_or(0, |next| next.trim_start_matches("a+/= &").parse().unwrap());
    let limit = value(query, "limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let all: Vec<&Value> = state.slices.values().filter(|slice| selects(query, slice)).collect();
    let items: Vec<&Value> = all.iter().skip(from).take(limit.min(state.page)).copied().collect();
    let end = from + items.len();
    let next = if end < all.len() { format!("a+/= &{end}") } else { String::new() };
    let object = json!({
        "kind": "EndpointSliceList",
        "apiVersion": "discovery.k8s.io/v1",
        "metadata": { "resourceVersion": state.version.to_string(), "continue": next },
        "items": items,
    });
    whole(StatusCode::OK, &object)
}

fn watch(state: &mut State, query: &str) -> Response<Body> {
    let version: u64 = value(query, "resourceVersion").unwrap().parse().unwrap();
    let late = state.late > 0;
    state.late -= usize::from(late);
    if late || version < state.oldest {
        state.too_late += 1;
        let message = format!("too old resource version: {version} ({})", state.oldest);
        return failure(StatusCode::GONE, "Expired", &message);
    }
    let missed = state.events.iter().filter(|(at, _)| *at > version);
    let missed = missed.filter(|(_, event)| selects(query, &event["object"]));
    let missed: Vec<Bytes> = missed.map(|(_, event)| format!("{event}\n").into()).collect();
    let mut shots = state.watches.subscribe();
    let (body, frames) = mpsc::channel(16);
    tokio::spawn(async move {
        let mut next = missed.into_iter();
        loop {
            let shot = match next.next() {
                Some(bytes) => Shot::Bytes(bytes),
                None => tokio::select! {
                    shot = shots.recv() => shot.unwrap_or(Shot::Cut),
                    () = body.closed() => return,
                },
            };
            let frame = match shot {
                Shot::Bytes(bytes) => Ok(Frame::data(bytes)),
                Shot::End => return,
                Shot::Cut => Err(io::Error::other("cut")),
            };
            if body.send(frame).await.is_err() {
                return;
            }
        }
    });
    let body = StreamBody::new(ReceiverStream::new(frames));
    Response::builder().header(CONTENT_TYPE, "application/json").body(body.boxed()).unwrap()
}

fn whole(status: StatusCode, object: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(object.to_string())).map_err(|never| match never {});
    let answer = Response::builder().status(status).header(CONTENT_TYPE, "application/json");
    answer.body(body.boxed()).unwrap()
}

fn failure(status: StatusCode, reason: &str, message: &str) -> Response<Body> {
    whole(
        status,
        &json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": status.as_u16(),
        }),
    )
}

/// A parameter of a query.
fn value(query: &str, name: &str) -> Option<String> {
    let mut parameters = query.split('&').filter_map(|pair| pair.split_once('='));
    parameters.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
}

fn decoded(text: &str) -> String {
    let text = text.replace('+', " ");
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).unwrap());
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).unwrap()
}
