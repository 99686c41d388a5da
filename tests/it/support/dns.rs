//! A name server whose answers tests choose.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

/// A name server for every name under `test.`; it says nothing to what it is not told about.
pub struct NameServer {
    pub address: SocketAddr,
    names: Arc<Mutex<HashMap<String, Vec<IpAddr>>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    pub async fn start() -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (names, asked) = (Arc::<Mutex<HashMap<_, _>>>::default(), Arc::default());
        let server = NameServer { address, names: Arc::clone(&names), asked: Arc::clone(&asked) };
        tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((len, from)) = socket.recv_from(&mut packet).await {
                let (name, kind) = question(&packet[..len]);
                let addresses = names.lock().unwrap().get(&name).cloned();
                asked.lock().unwrap().push(name);
                if let Some(addresses) = addresses {
                    socket.send_to(&answer(&packet[..len], kind, &addresses), from).await.unwrap();
                }
            }
        });
        server
    }

    /// From now on `name` has these addresses.
    pub fn set(&self, name: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.names.lock().unwrap().insert(name.into(), addresses);
    }

    /// How often it was asked for `name`.
    pub fn asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }

    /// The configuration that has it asked.
    pub fn yaml(&self) -> String {
        format!("dns: {{ servers: [ \"{}\" ] }}\n", self.address)
    }
}

/// The name and the type that are asked for.
fn question(packet: &[u8]) -> (String, u16) {
    let (mut at, mut labels) = (12, Vec::new());
    while packet[at] > 0 {
        let end = at + 1 + usize::from(packet[at]);
        labels.push(String::from_utf8(packet[at + 1..end].to_ascii_lowercase()).unwrap());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([packet[at + 1], packet[at + 2]]))
}

fn answer(question: &[u8], kind: u16, addresses: &[IpAddr]) -> Vec<u8> {
    let name = question[12..].iter().position(|byte| *byte == 0).unwrap();
    let mut packet = question[..12 + name + 5].to_vec();
    let records: Vec<Vec<u8>> = addresses
        .iter()
        .filter_map(|address| match (address, kind) {
            (IpAddr::V4(ip), 1) => Some(ip.octets().to_vec()),
            (IpAddr::V6(ip), 28) => Some(ip.octets().to_vec()),
            _ => None,
        })
        .collect();
    packet[2..4].copy_from_slice(&[0x81, 0x80]);
    packet[6..12].copy_from_slice(&[0, records.len() as u8, 0, 0, 0, 0]);
    for data in records {
        packet.extend([0xc0, 12, 0, kind as u8, 0, 1, 0, 0, 0, 1, 0, data.len() as u8]);
        packet.extend(data);
    }
    packet
}
