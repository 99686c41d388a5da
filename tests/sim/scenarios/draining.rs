//! Drain timeouts of backends that are removed with requests in flight.

use std::time::Duration;

use bytes::Bytes;
use equipoise::service::{Author, Change, Terms};
use h2::server::SendResponse;
use http::{Request, Response};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep};

use super::stage::{Gateway, Stage};
use super::{eventually, soon};

/// An idle worker applies a change within this time.
const NOTICE: Duration = Duration::from_millis(1010);

/// A backend that completes no response: those for `/open` get a head and a message.
fn backend(stage: &Stage) {
    let mut accepted = stage.backend();
    spawn_local(async move {
        while let Some(connection) = accepted.recv().await {
            spawn_local(async move {
                let mut connection = h2::server::handshake(connection).await.unwrap();
                let mut kept: Vec<(SendResponse<Bytes>, Option<h2::SendStream<Bytes>>)> =
                    Vec::new();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    let head = Response::builder().header("content-type", "application/grpc");
                    let open = (request.uri().path() == "/open").then(|| {
                        let mut body =
                            respond.send_response(head.body(()).unwrap(), false).unwrap();
                        body.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
                        body
                    });
                    kept.push((respond, open));
                }
            });
        }
    });
}

/// How a request ended: HTTP status, length of the body, and `grpc-status`, if it ended cleanly.
type End = (u16, usize, Result<Option<String>, ()>, Instant);

fn ask(gateway: &Gateway, path: &'static str, grpc: bool) -> JoinHandle<End> {
    let connection = gateway.dial();
    spawn_local(async move {
        let (mut sender, driver) = h2::client::handshake(connection).await.unwrap();
        let driver = spawn_local(driver);
        let mut request = Request::post(format!("http://test{path}"));
        if grpc {
            request = request.header("content-type", "application/grpc").header("te", "trailers");
        }
        let (response, _open) = sender.send_request(request.body(()).unwrap(), !grpc).unwrap();
        let response = soon("a head", response).await.unwrap();
        let status = |fields: &http::HeaderMap| {
            fields.get("grpc-status").map(|status| status.to_str().unwrap().to_owned())
        };
        let (head, code) = (status(response.headers()), response.status().as_u16());
        let (mut body, mut bytes) = (response.into_body(), 0);
        let end = loop {
            match soon("the end", body.data()).await {
                Some(Ok(data)) => bytes += data.len(),
                Some(Err(_)) => break Err(()),
                None => {
                    let trailers = body.trailers().await;
                    break trailers.map(|it| it.as_ref().and_then(status).or(head)).map_err(drop);
                }
            }
        };
        driver.abort();
        (code, bytes, end, Instant::now())
    })
}

/// Before and after the response has begun, for gRPC and HTTP.
pub async fn what_is_removed_is_cut_off_when_its_time_is_up(stage: Stage) {
    backend(&stage);
    let gateway = stage.gateway("endpoint_drain_timeout: 30s").await;
    let [open, silent] = ["/open", "/silent"];
    let asked = [(open, true), (silent, true), (open, false), (silent, false)];
    let asked = asked.map(|(path, grpc)| ask(&gateway, path, grpc));
    eventually("all are there", || gateway.open() == 4).await;
    let service = gateway.registry.get("shop").unwrap();
    let endpoint = service.view().backends[0].endpoint.clone();
    sleep(Duration::from_secs(10)).await;
    let change = Change::Remove(vec![endpoint.address().to_owned()]);
    let conditions = Terms { allow_empty: true, ..Terms::default() };
    // Workers may apply it some time before it is answered.
    let before = Instant::now();
    service.change(change, conditions, Author::from("operator")).await.unwrap();
    let begun = Instant::now();
    let mut ends = Vec::new();
    for asked in asked {
        let (code, bytes, end, at) = asked.await.unwrap();
        let limit = Duration::from_secs(30);
        assert!(at - before >= limit && at - begun <= limit + NOTICE, "{:?}", at - begun);
        ends.push((code, bytes, end));
    }
    let unavailable = Ok(Some("14".to_owned()));
    let words = "the backend was taken out of service, and the time to finish is over\n";
    let expected = [
        (200, 7, unavailable.clone()),
        (200, 0, unavailable),
        (200, 7, Err(())),
        (503, words.len(), Ok(None)),
    ];
    assert_eq!(ends, expected);
    assert!(endpoint.load().is_idle());
    assert_eq!((endpoint.cut(), service.drain_cuts().total()), (4, 4));
}

/// An idle connection is closed at once.
pub async fn idle_connections_of_what_is_removed_are_closed_at_once(stage: Stage) {
    backend(&stage);
    let gateway = stage.gateway("preconnect: 1").await;
    let service = gateway.registry.get("shop").unwrap();
    let endpoint = service.view().backends[0].endpoint.clone();
    eventually("it is connected", || endpoint.connected() == 1).await;
    let begun = Instant::now();
    let change = Change::Remove(vec![endpoint.address().to_owned()]);
    let conditions = Terms { allow_empty: true, ..Terms::default() };
    service.change(change, conditions, Author::from("operator")).await.unwrap();
    eventually("it is not", || endpoint.connected() == 0).await;
    assert!(begun.elapsed() <= 2 * NOTICE, "{:?}", begun.elapsed());
}
