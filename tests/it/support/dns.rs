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

/// What becomes of queries of one type for a name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SERVFAIL.
    ServerFailure,
    /// NXDOMAIN.
    Unknown,
    /// No answer.
    Silence,
}

/// The types of records that it has.
pub const A: u16 = 1;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// A host of a service: priority, weight, port, target.
pub type Host<'a> = (u16, u16, u16, &'a str);

struct Zone {
    names: Mutex<HashMap<String, Vec<IpAddr>>>,
    /// The data of SRV records.
    services: Mutex<HashMap<String, Vec<Vec<u8>>>>,
    faults: Mutex<HashMap<(String, u16), Fault>>,
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
        let (names, services, faults, asked, asked_by_tcp) = Default::default();
        let zone = Arc::new(Zone { names, services, faults, asked, asked_by_tcp, old });
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

    /// Sets the hosts of the service `name`.
    pub fn set_hosts(&self, name: &str, hosts: &[Host<'_>]) {
        let hosts = hosts.iter().map(|(priority, weight, port, target)| {
            let mut data: Vec<u8> = [priority, weight, port]
                .into_iter()
                .flat_map(|number| number.to_be_bytes())
                .collect();
            for label in target.split('.').filter(|label| !label.is_empty()) {
                data.push(u8::try_from(label.len()).unwrap());
                data.extend(label.bytes());
            }
            data.push(0);
            data
        });
        self.zone.services.lock().unwrap().insert(name.into(), hosts.collect());
    }

    /// What becomes of queries of this type for `name` from now on.
    pub fn fail(&self, name: &str, kind: u16, fault: Option<Fault>) {
        let mut faults = self.zone.faults.lock().unwrap();
        match fault {
            Some(fault) => faults.insert((name.into(), kind), fault),
            None => faults.remove(&(name.into(), kind)),
        };
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
        let records = self.records(&name, kind);
        let fault = self.faults.lock().unwrap().get(&(name.clone(), kind)).copied();
        if tcp {
            self.asked_by_tcp.lock().unwrap().push(name.clone());
        }
        self.asked.lock().unwrap().push(name);
        let payload = payload(question);
        match fault {
            Some(Fault::Silence) => return None,
            Some(Fault::ServerFailure) => return Some(refusal(question, 2)),
            Some(Fault::Unknown) => return Some(refusal(question, 3)),
            None if self.old && payload.is_some() => return Some(refusal(question, 1)),
            None => {}
        }
        let size = if tcp { usize::from(u16::MAX) } else { payload.unwrap_or(512).into() };
        Some(answer(question, kind, records?, size))
    }

    /// The data of the records of a name, unless it is unknown.
    fn records(&self, name: &str, kind: u16) -> Option<Vec<Vec<u8>>> {
        let (names, services) = (self.names.lock().unwrap(), self.services.lock().unwrap());
        let data = |address: &IpAddr| match (address, kind) {
            (IpAddr::V4(ip), A) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), AAAA) => Some(ip.octets().to_vec()),
            _ => None,
        };
        match (names.get(name), services.get(name)) {
            (None, None) => None,
            (_, Some(hosts)) if kind == SRV => Some(hosts.clone()),
            (addresses, _) => Some(addresses.into_iter().flatten().filter_map(data).collect()),
        }
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

/// A response without records.
fn refusal(question: &[u8], code: u8) -> Vec<u8> {
    let mut refusal = question[..end(question)].to_vec();
    refusal[2..12].copy_from_slice(&[0x81, 0x80 | code, 0, 1, 0, 0, 0, 0, 0, 0]);
    refusal
}

/// The response, truncated to `size`.
fn answer(question: &[u8], kind: u16, mut records: Vec<Vec<u8>>, size: usize) -> Vec<u8> {
    let mut packet = question[..end(question)].to_vec();
    let all = records.len();
    let mut room = size - packet.len();
    records.retain(|data| {
        let fits = room >= 12 + data.len();
        room = if fits { room - 12 - data.len() } else { 0 };
        fits
    });
    let truncated = if records.len() < all { 2 } else { 0 };
    packet[2..4].copy_from_slice(&[0x81 | truncated, 0x80]);
    let [high, low] = u16::try_from(records.len()).unwrap().to_be_bytes();
    packet[6..12].copy_from_slice(&[high, low, 0, 0, 0, 0]);
    for data in records {
        packet.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 1, 0, data.len() as u8]);
        packet.extend(data);
    }
    packet
}
