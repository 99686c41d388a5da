//! The control port: connection limit, health, reflection, shutdown.

use equipoise::control::proto;
use equipoise::model::ConnectionRefusal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_stream::{StreamExt as _, once};
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::{v1, v1alpha};

use super::*;
use crate::support::frames::{Frames, SETTINGS};

const CONTROL: &str = "equipoise.control.v1.Control";

fn check(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.into() }
}

#[tokio::test]
async fn health_says_serving() {
    let gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel().await);
    for service in ["", CONTROL] {
        let answer = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let status = health.check(check("orders")).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
}

#[tokio::test]
async fn health_reports_shutdown() {
    let gateway = Gateway::start().await;
    let mut health = HealthClient::new(gateway.channel().await);
    let mut watched = health.watch(check("")).await.unwrap().into_inner();
    let status = watched.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::Serving);
    gateway.ready.send_replace(Readiness::Draining);
    let status = watched.message().await.unwrap().unwrap().status();
    assert_eq!(status, ServingStatus::NotServing);
    for service in ["", CONTROL] {
        let answer = health.check(check(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing, "{service}");
    }
}

#[tokio::test]
async fn silent_connections_are_evicted() {
    let gateway = Gateway::start().await;
    let address = gateway.address.strip_prefix("http://").unwrap();
    let mut silent = Vec::new();
    for _ in 0..3 * MAX_CONNECTIONS {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut client = gateway.client().await;
    client.list_services(proto::ListServicesRequest {}).await.unwrap();
    let mut answer = Vec::new();
    let _ = silent[0].read_to_end(&mut answer).await; // the oldest is evicted
    let evicted = gateway.refusals.totals()[ConnectionRefusal::Evicted as usize];
    assert!(evicted >= 2 * MAX_CONNECTIONS as u64, "{evicted}");
}

#[tokio::test]
async fn idle_connections_and_watches_are_evicted() {
    let gateway = Gateway::start().await;
    let request = || proto::WatchServiceRequest {
        service: "orders".into(),
        interval: None,
        since_revision: None,
    };
    let mut watches = Vec::new();
    for _ in 0..MAX_CONNECTIONS - 1 {
        let watched = gateway.client().await.watch_service(request()).await.unwrap();
        watches.push(watched.into_inner());
    }
    // HTTP/2 connections that send no request.
    let address = gateway.address.strip_prefix("http://").unwrap().parse().unwrap();
    let mut idle = Vec::new();
    for _ in 0..3 * MAX_CONNECTIONS {
        idle.push(Frames::connect(address, &[]).await);
        idle.last_mut().unwrap().find(|frame| frame.kind == SETTINGS).await;
    }
    let mut client = gateway.client().await;
    client.list_services(proto::ListServicesRequest {}).await.unwrap();
    for watched in &mut watches {
        watched.message().await.unwrap().unwrap();
    }
    let evicted = || gateway.refusals.totals()[ConnectionRefusal::Evicted as usize];
    assert!(evicted() >= 2 * MAX_CONNECTIONS as u64, "{}", evicted());

    // All connections watch: the oldest is evicted.
    drop((client, idle));
    for _ in 0..2 * MAX_CONNECTIONS {
        let watched = gateway.client().await.watch_service(request()).await.unwrap();
        watches.push(watched.into_inner());
    }
    gateway.client().await.list_services(proto::ListServicesRequest {}).await.unwrap();
    while watches[0].message().await.is_ok() {}
    watches.last_mut().unwrap().message().await.unwrap().unwrap();
}

#[tokio::test]
async fn reflection_lists_and_describes_the_api() {
    use v1::server_reflection_client::ServerReflectionClient;
    use v1::server_reflection_request::MessageRequest;
    use v1::server_reflection_response::MessageResponse;
    let gateway = Gateway::start().await;
    let mut reflection = ServerReflectionClient::new(gateway.channel().await);
    let mut ask = async |request| {
        let request =
            v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
        let answers = reflection.server_reflection_info(once(request)).await;
        let answer = answers.unwrap().into_inner().next().await;
        answer.unwrap().unwrap().message_response.unwrap()
    };
    let MessageResponse::ListServicesResponse(list) =
        ask(MessageRequest::ListServices(String::new())).await
    else {
        panic!("not a list");
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&CONTROL) && names.contains(&"grpc.health.v1.Health"), "{names:?}");

    for symbol in [CONTROL, "google.protobuf.Duration"] {
        let answer = ask(MessageRequest::FileContainingSymbol(symbol.into())).await;
        let MessageResponse::FileDescriptorResponse(files) = answer else {
            panic!("{symbol} is not described: {answer:?}");
        };
        assert!(!files.file_descriptor_proto.is_empty());
    }
}

#[tokio::test]
async fn older_tools_find_reflection_too() {
    use v1alpha::server_reflection_client::ServerReflectionClient;
    use v1alpha::server_reflection_request::MessageRequest;
    let gateway = Gateway::start().await;
    let mut reflection = ServerReflectionClient::new(gateway.channel().await);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::FileContainingSymbol(CONTROL.into())),
    };
    let answers = reflection.server_reflection_info(once(request)).await;
    let answer = answers.unwrap().into_inner().next().await.unwrap().unwrap();
    use v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse;
    assert!(matches!(answer.message_response, Some(FileDescriptorResponse(_))));
}

#[tokio::test]
async fn shutdown_ends_open_streams() {
    let mut gateway = Gateway::start().await;
    let request = proto::WatchServiceRequest {
        service: "orders".into(),
        interval: None,
        since_revision: None,
    };
    let mut client = gateway.client().await;
    let mut watched = client.watch_service(request).await.unwrap().into_inner();
    let mut health = HealthClient::new(gateway.channel().await);
    let mut healthy = health.watch(check("")).await.unwrap().into_inner();
    watched.message().await.unwrap().unwrap();
    healthy.message().await.unwrap().unwrap();

    gateway.stop.take().unwrap().send(()).unwrap();
    let ended = loop {
        if let Err(status) = watched.message().await {
            break status;
        }
    };
    assert_eq!(ended.code(), Code::Unavailable, "{ended:?}");
    assert!(ended.message().contains("shutting down"), "{ended:?}");
    while let Ok(Some(_)) = healthy.message().await {}
    gateway.server.await.unwrap().unwrap();
    let request = proto::ListServicesRequest {};
    assert!(client.list_services(request).await.is_err());
}

#[tokio::test]
async fn the_writer_ends_with_the_last_handle_and_so_do_its_watchers() {
    let gateway = Gateway::start().await;
    let mut views = gateway.orders.watch();
    drop(gateway.registry);
    gateway.server.abort();
    let _ = gateway.server.await;
    drop(gateway.orders);
    while views.changed().await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_closed() {
    let gateway = Gateway::start().await;
    let address = gateway.address.strip_prefix("http://").unwrap();
    for sent in ["", "PRI * HTTP/2.0\r\n"] {
        let mut silent = TcpStream::connect(address).await.unwrap();
        silent.write_all(sent.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = silent.read_to_end(&mut answer).await; // it only has to end
    }
}
