//! A minimal HTTP/1.1 for simulated peers, independent of the product's.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A message head: start line and fields.
pub struct Head {
    pub line: String,
    fields: Vec<(String, String)>,
}

impl Head {
    fn parse(text: &str) -> Head {
        let mut lines = text.split("\r\n");
        let line = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter_map(|line| line.split_once(": "));
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Head { line, fields }
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<String> {
        let mut fields = self.fields.iter().filter(|(of, _)| of == name);
        fields.next().map(|(_, value)| value.clone())
    }

    /// The second word of the start line: status or target.
    pub fn word(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// Whether it has `connection: close`.
    pub fn closes(&self) -> bool {
        self.get("connection").is_some_and(|value| value.contains("close"))
    }

    /// The framing of the body; a response without any ends with the connection.
    pub fn framing(&self, response: bool) -> Framing {
        if self.get("transfer-encoding").is_some() {
            return Framing::Chunked;
        }
        match self.get("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Framing::Length(length),
            None if response => Framing::Closed,
            None => Framing::Length(0),
        }
    }
}

/// The framing of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes remain.
    Length(usize),
    Chunked,
    /// Until the connection closes.
    Closed,
}

impl Framing {
    /// The framing field for a body of this length.
    pub fn field(self) -> String {
        match self {
            Framing::Length(length) => format!("content-length: {length}\r\n"),
            Framing::Chunked => "transfer-encoding: chunked\r\n".into(),
            Framing::Closed => "connection: close\r\n".into(),
        }
    }
}

/// Reads messages.
pub struct Reader<R> {
    io: R,
    buffer: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Reader<R> {
    pub fn new(io: R) -> Reader<R> {
        Reader { io, buffer: Vec::new() }
    }

    /// Reads a little more, so that slow readers are slow on the wire too.
    async fn fill(&mut self) -> Option<()> {
        let read = (&mut self.io).take(8 << 10).read_buf(&mut self.buffer).await.ok()?;
        (read > 0).then_some(())
    }

    /// Takes the bytes up to the end of `mark`.
    async fn until(&mut self, mark: &[u8]) -> Option<String> {
        loop {
            let found = self.buffer.windows(mark.len()).position(|bytes| bytes == mark);
            if let Some(at) = found {
                let text = self.buffer.drain(..at + mark.len()).take(at).collect();
                return String::from_utf8(text).ok();
            }
            self.fill().await?;
        }
    }

    /// The next head, if any.
    pub async fn head(&mut self) -> Option<Head> {
        self.until(b"\r\n\r\n").await.map(|text| Head::parse(&text))
    }

    /// The next piece of a body; empty at its end, `None` if it is truncated.
    pub async fn piece(&mut self, framing: &mut Framing) -> Option<Vec<u8>> {
        match framing {
            Framing::Length(0) => Some(Vec::new()),
            Framing::Length(left) => {
                if self.buffer.is_empty() {
                    self.fill().await?;
                }
                let piece: Vec<u8> = self.buffer.drain(..self.buffer.len().min(*left)).collect();
                *left -= piece.len();
                Some(piece)
            }
            Framing::Chunked => {
                let size = usize::from_str_radix(&self.until(b"\r\n").await?, 16).ok()?;
                while self.buffer.len() < size + 2 {
                    self.fill().await?;
                }
                let piece = self.buffer.drain(..size + 2).take(size).collect();
                Some(piece)
            }
            Framing::Closed => {
                // A clean close is an end; a reset is not.
                let read = self.io.read_buf(&mut self.buffer).await.ok();
                (read.is_some() || !self.buffer.is_empty())
                    .then(|| std::mem::take(&mut self.buffer))
            }
        }
    }
}

/// Writes a piece of a body; `false` if the reader is gone.
pub async fn write<W: AsyncWrite + Unpin>(io: &mut W, framing: Framing, piece: &[u8]) -> bool {
    let framed = match framing {
        Framing::Chunked if piece.is_empty() => return true, // it would be the last chunk
        Framing::Chunked => [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat(),
        Framing::Length(_) | Framing::Closed => piece.to_vec(),
    };
    io.write_all(&framed).await.is_ok()
}

/// Writes the end of a body; `false` if the reader is gone.
pub async fn end<W: AsyncWrite + Unpin>(io: &mut W, framing: Framing) -> bool {
    framing != Framing::Chunked || io.write_all(b"0\r\n\r\n").await.is_ok()
}
