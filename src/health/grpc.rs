//! `grpc.health.v1`: Check calls, and a Watch stream.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::RecvStream;
use http::HeaderMap;
use prost::Message as _;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::failure::Failure;

/// Limit of a response message, which has only a status.
const MAX_MESSAGE: usize = 1024;

/// Length of a message's prefix: compressed flag and length.
const PREFIX: usize = 5;

/// The encoded request for this service name.
pub(super) fn encode_request(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.extend_from_slice(&message);
    frame.freeze()
}

/// The messages of a response.
pub(super) struct Responses {
    stream: RecvStream,
    held: BytesMut,
}

impl Responses {
    /// Reads them after this response head.
    pub fn of(answer: http::Response<RecvStream>) -> Result<Responses, Failure> {
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(Failure::http(status));
        }
        end(answer.headers())?;
        Ok(Responses { stream: answer.into_body(), held: BytesMut::new() })
    }

    /// The next status, or `None` at the end. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<ServingStatus>, Failure> {
        loop {
            if let Some(message) = self.message()? {
                let answer = HealthCheckResponse::decode(message)
                    .map_err(|_| Failure::new("an answer that is none of grpc.health.v1"))?;
                return Ok(Some(answer.status()));
            }
            match self.stream.data().await {
                Some(Ok(data)) => {
                    // cannot exceed what was received
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    self.held.extend_from_slice(&data);
                }
                Some(Err(error)) => return Err(Failure::broken(&error)),
                None => return Ok(None),
            }
        }
    }

    fn message(&mut self) -> Result<Option<Bytes>, Failure> {
        let Some(&[compressed, a, b, c, d]) = self.held.first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_be_bytes([a, b, c, d]) as usize;
        if compressed != 0 || len > MAX_MESSAGE {
            return Err(Failure::new("an answer that is too large, or compressed"));
        }
        if self.held.len() < PREFIX + len {
            return Ok(None);
        }
        self.held.advance(PREFIX);
        Ok(Some(self.held.split_to(len).freeze()))
    }

    /// The only status of a unary response, which must end with success.
    pub async fn only(mut self) -> Result<ServingStatus, Failure> {
        let status =
            self.next().await?.ok_or_else(|| Failure::new("an answer without a message"))?;
        match self.next().await? {
            Some(_) => Err(Failure::new("an answer with several messages")),
            None => self.end().await.map(|()| status),
        }
    }

    /// Reads the trailers.
    pub async fn end(mut self) -> Result<(), Failure> {
        let trailers = self.stream.trailers().await.map_err(|error| Failure::broken(&error))?;
        let trailers = trailers.ok_or_else(|| Failure::new("an answer without a grpc-status"))?;
        end(&trailers)
    }
}

/// The error of a `grpc-status` other than OK.
fn end(fields: &HeaderMap) -> Result<(), Failure> {
    match fields.get("grpc-status").map(|status| status.as_bytes()) {
        None | Some(b"0") => Ok(()),
        Some(status) => Err(Failure::grpc(status)),
    }
}
