//! The connection to a checked target, kept between checks.

use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::Request;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

use super::failure::Failure;
use crate::upstream::{Stream, Version};

/// Limit of a response's header list, and of an HTTP/1.1 connection's buffer.
const MAX_HEADERS_BYTES: u32 = 16 << 10;

/// Limit of a response's header fields.
const MAX_HEADERS: usize = 100;

/// Limits of reading an HTTP/1.1 response body in order to reuse its connection.
const MAX_BODY: usize = 64 << 10;
const BODY_TIMEOUT: Duration = Duration::from_millis(100);

/// Aborts the task when dropped.
pub(super) struct AbortOnDrop(pub JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection and its driver task.
pub(super) enum Connection {
    Http1(http1::SendRequest<Empty<Bytes>>, AbortOnDrop),
    Http2(SendRequest<Bytes>, AbortOnDrop),
}

impl Connection {
    /// Starts HTTP on `stream`.
    pub async fn open(stream: Box<dyn Stream>, version: Version) -> Result<Connection, Failure> {
        match version {
            Version::Http1 => {
                let (send, connection) = http1::Builder::new()
                    .max_buf_size(MAX_HEADERS_BYTES as usize)
                    .max_headers(MAX_HEADERS)
                    .handshake(TokioIo::new(stream))
                    .await
                    .map_err(|error| Failure::broken(&error))?;
                // Errors show in the checks.
                let drive = spawn_local(async move { drop(connection.await) });
                Ok(Connection::Http1(send, AbortOnDrop(drive)))
            }
            Version::Http2 => {
                let (send, connection) = h2::client::Builder::new()
                    .enable_push(false)
                    .max_header_list_size(MAX_HEADERS_BYTES)
                    .handshake(stream)
                    .await
                    .map_err(|error| Failure::broken(&error))?;
                let drive = spawn_local(async move { drop(connection.await) });
                Ok(Connection::Http2(send, AbortOnDrop(drive)))
            }
        }
    }

    /// Whether it accepts another request, as far as known.
    pub fn is_open(&self) -> bool {
        match self {
            Connection::Http1(send, driver) => !send.is_closed() && !driver.0.is_finished(),
            Connection::Http2(_, driver) => !driver.0.is_finished(),
        }
    }

    /// Sends a GET and returns the response's status.
    pub async fn get_status(&mut self, mut request: Request<()>) -> Result<u16, Failure> {
        match self {
            Connection::Http1(send, driver) => {
                send.ready().await.map_err(|error| Failure::broken(&error))?;
                *request.uri_mut() = path_only(request.uri());
                let sent = send.send_request(request.map(|()| Empty::new()));
                let answer = sent.await.map_err(|error| Failure::broken(&error))?;
                let (status, body) = (answer.status().as_u16(), answer.into_body());
                let read = timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect());
                if !read.await.is_ok_and(|read| read.is_ok()) {
                    driver.0.abort(); // the next check reconnects
                }
                Ok(status)
            }
            Connection::Http2(..) => {
                let answer = self.ask(request, None).await?.await;
                let answer = answer.map_err(|error| Failure::broken(&error))?;
                Ok(answer.status().as_u16()) // the body is cancelled by dropping
            }
        }
    }

    /// Sends a request with this body over HTTP/2.
    pub async fn ask(
        &mut self,
        request: Request<()>,
        body: Option<Bytes>,
    ) -> Result<ResponseFuture, Failure> {
        let Connection::Http2(send, _) = self else {
            return Err(Failure::new("not over HTTP/2"));
        };
        let broken = |error: h2::Error| Failure::broken(&error);
        let mut ready = send.clone().ready().await.map_err(broken)?;
        let (answer, mut sending) = ready.send_request(request, body.is_none()).map_err(broken)?;
        if let Some(body) = body {
            sending.send_data(body, true).map_err(broken)?;
        }
        Ok(answer)
    }

    /// Whether it allows a watch stream beside the checks.
    pub fn allows_watch(&self) -> bool {
        match self {
            Connection::Http1(..) => false,
            Connection::Http2(send, _) => send.current_max_send_streams() > 1,
        }
    }
}

/// The path without the authority: HTTP/1.1 has that in `host`.
fn path_only(uri: &http::Uri) -> http::Uri {
    uri.path_and_query().map_or_else(|| uri.clone(), |path| path.clone().into())
}
