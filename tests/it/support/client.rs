//! Stock clients, by tonic.

use std::net::SocketAddr;

use tonic::Request;
use tonic::transport::{Channel, Endpoint};

use super::echo::Message;
use super::echo::echo_client::EchoClient;
use super::soon;

pub type Client = EchoClient<Channel>;

/// A client with one connection of its own.
pub async fn connect(address: SocketAddr) -> Client {
    connect_to(Endpoint::from_shared(format!("http://{address}")).unwrap()).await
}

pub async fn connect_to(endpoint: Endpoint) -> Client {
    let endpoint = endpoint.http2_max_header_list_size(1 << 20);
    let channel = soon("connecting", endpoint.connect()).await.unwrap();
    let most = 512 << 20;
    EchoClient::new(channel).max_decoding_message_size(most).max_encoding_message_size(most)
}

/// A message with this payload.
pub fn message(payload: impl Into<Vec<u8>>) -> Message {
    Message { payload: payload.into(), replies: 0 }
}

/// A request with this payload and one more field of metadata.
pub fn with(payload: impl Into<Vec<u8>>, key: &'static str, value: &str) -> Request<Message> {
    let mut request = Request::new(message(payload));
    request.metadata_mut().insert(key, value.parse().unwrap());
    request
}

/// A request that backends hold until released.
pub fn held() -> Request<Message> {
    with("held", "x-hold", "1")
}

/// The address of the backend that sent the response.
pub fn backend<T>(answer: &tonic::Response<T>) -> SocketAddr {
    answer.metadata().get("x-backend").unwrap().to_str().unwrap().parse().unwrap()
}
