//! A scripted DNS server.

use std::collections::HashMap;
use std::io::Result;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// A DNS server for names under `test.`; it does not answer unknown names.
pub struct NameServer {
    pub address: SocketAddr,
    zone: Arc<Zone>,
}

/// How queries over TCP are handled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    Answered,
    Refused,
    Silent,
}

struct Zone {
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
    asked_by_tcp: Mutex<Vec<String>>,
    /// It rejects EDNS.
    old: bool,
}

impl NameServer {
    pub async fn start() -> NameServer {
        NameServer::with(Tcp::Answered, false).await
    }

    pub async fn with(tcp: Tcp, old: bool) -> NameServer {
        let (listener, socket) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            if let Ok(socket) = UdpSocket::bind(listener.local_addr().unwrap()).await {
                break (listener, socket);
            }
        };
        let (names, asked, asked_by_tcp) = Default::default();
        let zone = Arc::new(Zone { names, asked, asked_by_tcp, old });
        let server = NameServer { address: socket.local_addr().unwrap(), zone: Arc::clone(&zone) };
        if tcp != Tcp::Refused {
            tokio::spawn(Arc::clone(&zone).answer_by_tcp(listener, tcp));
        }
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                if let Some(answer) = zone.answer(&packet[..len], false) {
                    socket.send_to(&answer, from).await.unwrap();
                }
            }
        });
        server
    }

    /// Sets the addresses of `name`.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.zone.names.lock().unwrap().insert(name.into(), addresses);
    }

    /// Number of queries for `name`.
    pub fn asked(&self, name: &str) -> usize {
        self.zone.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    /// Number of queries for `name` over TCP.
    pub fn asked_by_tcp(&self, name: &str) -> usize {
        self.zone.asked_by_tcp.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    /// The resolver configuration that uses this server.
    pub fn yaml(&self) -> String {
        format!("dns: {{ servers: [ \"{}\" ] }}\n", self.address)
    }
}

impl Zone {
    fn answer(&self, question: &[u8], tcp: bool) -> Option<Vec<u8>> {
        let (name, kind) = asked(question);
        let addresses = self.names.lock().unwrap().get(&name).cloned();
        if tcp {
            self.asked_by_tcp.lock().unwrap().push(name.clone());
        }
        self.asked.lock().unwrap().push(name);
        let payload = payload(question);
        if self.old && payload.is_some() {
            let mut refusal = question[..end(question)].to_vec();
            refusal[2..12].copy_from_slice(&[0x81, 0x81, 0, 1, 0, 0, 0, 0, 0, 0]);
            return Some(refusal);
        }
        let size = if tcp { usize::from(u16::MAX) } else { payload.unwrap_or(512).into() };
        Some(answer(question, kind, &addresses?, size))
    }

    async fn answer_by_tcp(self: Arc<Zone>, listener: TcpListener, tcp: Tcp) {
        let mut silent = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            match tcp {
                Tcp::Silent => silent.push(stream),
                _ => drop(tokio::spawn(Arc::clone(&self).converse(stream))),
            }
        }
    }

    async fn converse(self: Arc<Zone>, mut stream: TcpStream) -> Result<()> {
        loop {
            let mut question = vec![0; stream.read_u16().await?.into()];
            stream.read_exact(&mut question).await?;
            if let Some(answer) = self.answer(&question, true) {
                let mut message = u16::try_from(answer.len()).unwrap().to_be_bytes().to_vec();
                message.extend(answer);
                stream.write_all(&message).await?;
            }
        }
    }
}

/// The query's name and type.
fn asked(packet: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] > 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..end].to_ascii_lowercase()).unwrap());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([packet[at + 1], packet[at + 2]]))
}

/// The end of the question section.
fn end(question: &[u8]) -> usize {
    12 + question[12..].iter().position(|byte| *byte == 0).unwrap() + 5
}

/// The UDP payload size of the query's EDNS record, if any.
fn payload(question: &[u8]) -> Option<u16> {
    let extension = question[end(question)..].strip_prefix(&[0, 0, 41])?;
    Some(u16::from_be_bytes([extension[0], extension[1]]))
}

/// The response, truncated to `size`.
fn answer(question: &[u8], kind: u16, addresses: &[IpAddr], size: usize) -> Vec<u8> {
    let mut packet = question[..end(question)].to_vec();
    let mut records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(ip), 1) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), 28) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    let all = records.len();
    let mut room = size - packet.len();
    records.retain(|data| {
        let fits = room >= 12 + data.len();
        room = if fits { room - 12 - data.len() } else { 0 };
        fits
    });
    let truncated = if records.len() < all { 2 } else { 0 };
    packet[2..4].copy_from_slice(&[0x81 | truncated, 0x80]);
    packet[6..12].copy_from_slice(&[0, records.len() as u8, 0, 0, 0, 0]);
    for data in records {
        packet.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 1, 0, data.len() as u8]);
        packet.extend(data);
    }
    packet
}
