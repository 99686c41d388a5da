//! `demo.Echo/Say`, a unary method that echoes text.

use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use prost::Message;

/// The method's path.
pub const PATH: &str = "/demo.Echo/Say";

/// Maximum size of a message.
const MAX_BODY: usize = 64 << 10;
/// The gRPC message prefix: compression flag and length.
const PREFIX: usize = 5;

/// Request and response message.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EchoMessage {
    /// The text.
    #[prost(string, tag = "1")]
    pub text: String,
}

impl EchoMessage {
    /// Encodes it with the gRPC prefix.
    pub fn framed(&self) -> Bytes {
        let length = u32::try_from(self.encoded_len()).unwrap_or(u32::MAX);
        let mut frame = BytesMut::with_capacity(PREFIX + self.encoded_len());
        frame.put_u8(0); // uncompressed
        frame.put_u32(length);
        frame.put_slice(&self.encode_to_vec());
        frame.freeze()
    }

    /// Reads a body of exactly one message; `None` if it is anything else.
    pub async fn read(body: RecvStream) -> Result<Option<EchoMessage>, h2::Error> {
        let body = read_bounded(body).await?;
        Ok(body.and_then(|body| EchoMessage::from_frame(&body)))
    }

    fn from_frame(frame: &[u8]) -> Option<EchoMessage> {
        let (prefix, message) = frame.split_at_checked(PREFIX)?;
        let length = u32::try_from(message.len()).ok()?.to_be_bytes();
        let whole = prefix.first() == Some(&0) && prefix.ends_with(&length);
        whole.then(|| EchoMessage::decode(message).ok()).flatten()
    }
}

/// Reads the whole body, up to the maximum.
async fn read_bounded(mut body: RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let mut read = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        if read.len() + piece.len() > MAX_BODY {
            return Ok(None);
        }
        body.flow_control().release_capacity(piece.len())?;
        read.put(piece);
    }
    Ok(Some(read.freeze()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_framed_message_is_read_back_and_nothing_else() {
        let words = EchoMessage { text: "hello".into() };
        let frame = words.framed();
        assert_eq!(frame[..], *b"\0\0\0\0\x07\x0a\x05hello");
        assert_eq!(EchoMessage::from_frame(&frame), Some(words));
        assert_eq!(EchoMessage::from_frame(&[0; 5]), Some(EchoMessage::default()));
        for wrong in [&frame[..4], &frame[..8], b"\x01\0\0\0\0", b"\0\0\0\0\x01\xff"] {
            assert_eq!(EchoMessage::from_frame(wrong), None, "{wrong:?}");
        }
    }
}
