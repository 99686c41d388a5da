//! Slow readers.

use std::time::Duration;

use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::spawn_local;
use tokio::time::sleep;

use super::stage::Stage;

/// More than all buffers on the way to a client hold.
const BODY: usize = 240 << 10;

/// The end of a response is sent long after its last other event; it must still be sent.
pub async fn who_reads_slowly_is_waited_for_to_the_last_byte(stage: Stage) {
    let mut accepted = stage.backend();
    spawn_local(async move {
        let connection = accepted.recv().await.expect("the gateway connects");
        let mut connection = h2::server::handshake(connection).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(bytes::Bytes::from(vec![7; BODY]), true).unwrap();
        }
    });
    let listener = "limits: { stream_idle_timeout: 1s }";
    let gateway = stage.gateway_for(listener, "protocol: http2").await;
    let mut client = gateway.dial();
    client.write_all(b"GET / HTTP/1.1\r\nhost: shop.example\r\n\r\n").await.unwrap();
    let (mut came, mut buffer) = (0, vec![0; 16 << 10]);
    while came < BODY {
        sleep(Duration::from_millis(600)).await;
        let read = client.read(&mut buffer).await.unwrap_or(0);
        assert!(read > 0, "cut off after {came} bytes");
        came += read;
    }
}
