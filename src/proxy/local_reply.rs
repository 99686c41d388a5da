//! How failures are encoded: as gRPC status, as HTTP status or by a reset.

use super::failure::Failure;
use super::fields;
use crate::http::{ErrorCode, Headers, Name, SendError};
use crate::model::GrpcCode;
use crate::net::{Conn, Stream};

/// How a local reply is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// Trailers-only with a gRPC status.
    Grpc,
    /// A status with a short body.
    Http,
    /// A status without a body: the method is HEAD.
    Head,
}

impl ReplyKind {
    /// The encoding for a request with this head on `conn`.
    pub fn of(head: &Headers, conn: &Conn) -> ReplyKind {
        // gRPC over HTTP/1.1 is rejected by HTTP, so that its user can read why.
        if fields::is_grpc(head) && !conn.is_http1() {
            return ReplyKind::Grpc;
        }
        match head.get(Name::Method) {
            Some(b"HEAD") => ReplyKind::Head,
            _ => ReplyKind::Http,
        }
    }
}

/// Aborts a response that has begun: by trailers for gRPC, otherwise by a reset, so that no
/// truncated body passes for a complete one.
pub fn truncate(front: &Stream, grpc: bool, failure: Failure) {
    if !grpc {
        return front.reset(ErrorCode::INTERNAL_ERROR);
    }
    let mut trailers = front.conn().worker().take_headers();
    end_with_status(front, &mut trailers, failure, |trailers| front.send_trailers(trailers));
    front.conn().worker().recycle(trailers);
    front.discard();
}

/// Sends `block` with the gRPC status and message: without the message, then by a reset alone, if
/// it exceeds the client's header list limit.
pub(super) fn end_with_status(
    front: &Stream,
    block: &mut Headers,
    failure: Failure,
    send: impl Fn(&Headers) -> Result<(), SendError>,
) {
    let (code, _, words) = failure.local_reply();
    block.add(Name::GrpcStatus, code.digits().as_bytes());
    block.add(Name::GrpcMessage, words.as_bytes());
    if send(block).is_ok() {
        return;
    }
    block.retain(|field| field.id != Name::GrpcMessage);
    if send(block).is_err() {
        front.reset(match code {
            GrpcCode::ResourceExhausted => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::INTERNAL_ERROR,
        });
    }
}
