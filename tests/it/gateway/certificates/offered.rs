//! Every cipher suite there is, asked for alone: what of them is taken. OpenSSL does not even ask for the
//! weakest any more.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{rsa_key, yaml};
use crate::support::certificates::Authority;
use crate::support::gateway::Gateway;
use crate::support::soon;

/// Versions as in ClientHello.
const SSL3: u16 = 0x0300;
const TLS10: u16 = 0x0301;
const TLS11: u16 = 0x0302;
const TLS12: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// Bytes with their length before them, in this many bytes.
fn counted(width: usize, bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    [&length[4 - width..], bytes].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes(), &*counted(2, content)].concat()
}

/// A ClientHello of this version, which offers one suite.
fn hello(version: u16, suite: u16) -> Vec<u8> {
    let groups = [0x001d_u16, 0x0017, 0x0018].map(u16::to_be_bytes).concat();
    // PSS, ECDSA and PKCS 1 with SHA-2, and then SHA-1 and MD5.
    let schemes =
        [0x0804_u16, 0x0403, 0x0503, 0x0805, 0x0401, 0x0501, 0x0807, 0x0201, 0x0203, 0x0101];
    let schemes = schemes.map(u16::to_be_bytes).concat();
    let mut extensions = [
        extension(0x0000, &counted(2, &[&[0], &*counted(2, b"gateway.test")].concat())),
        extension(0x000a, &counted(2, &groups)),
        extension(0x000b, &counted(1, &[0])),
        extension(0x000d, &counted(2, &schemes)),
        extension(0x0017, &[]),
        extension(0xff01, &[0]),
    ]
    .concat();
    if version == TLS13 {
        extensions.extend(extension(0x002b, &counted(1, &version.to_be_bytes())));
        let share = [&[0x00, 0x1d], &*counted(2, &[9; 32])].concat();
        extensions.extend(extension(0x0033, &counted(2, &share)));
    }
    let body = [
        &version.min(TLS12).to_be_bytes()[..],
        &[7; 32],
        &counted(1, &[3; 32]),
        &counted(2, &suite.to_be_bytes()),
        &counted(1, &[0]),
        &counted(2, &extensions),
    ]
    .concat();
    let message = [&[1], &*counted(3, &body)].concat();
    [&[22, 3, 1], &*counted(2, &message)].concat()
}

/// Whether the gateway answers with a ServerHello, and not with an alert.
async fn takes(to: SocketAddr, version: u16, suite: u16) -> bool {
    let mut socket = TcpStream::connect(to).await.unwrap();
    socket.write_all(&hello(version, suite)).await.unwrap();
    let mut head = [0; 6];
    match soon("it answers", socket.read_exact(&mut head)).await {
        Ok(_) => {
            assert!(
                matches!(head, [22, 3, 3, _, _, 2] | [21, 3, ..]),
                "{version:x} {suite:x}: {head:x?}"
            );
            head[0] == 22
        }
        Err(_) => false,
    }
}

#[tokio::test]
async fn of_all_suites_nine_are_taken_and_no_older_version() {
    let authority = Authority::new();
    authority.issue_as("server", &["gateway.test"]);
    authority.issue_with("rsa", &["gateway.test"], &rsa_key());
    let tls =
        "cert: server.pem, key: server.key, certificates: [ { cert: rsa.pem, key: rsa.key } ]";
    let gateway = Gateway::start_in(&yaml(tls, ""), authority.folder()).await;
    let to = gateway.front();
    // All that IANA has given a number: NULL, EXPORT, RC4, DES, 3DES, CBC with SHA-1, anonymous and others.
    let ranges =
        [0x0000..=0x00ff, 0x1300..=0x1307, 0xc000..=0xc0ff, 0xcca8..=0xccae, 0xd000..=0xd005];
    let all: Vec<u16> = ranges.into_iter().flatten().collect();
    let mut taken = Vec::new();
    for version in [TLS12, TLS13] {
        for suite in &all {
            if takes(to, version, *suite).await {
                taken.push((version, *suite));
            }
        }
    }
    // With GCM and ChaCha20, by ECDHE with ECDSA and RSA; those of TLS 1.3.
    let strong = [0xc02b, 0xc02c, 0xc02f, 0xc030, 0xcca8, 0xcca9].map(|suite| (TLS12, suite));
    let newest = [0x1301, 0x1302, 0x1303].map(|suite| (TLS13, suite));
    assert_eq!(taken, [&strong[..], &newest].concat());
    for version in [SSL3, TLS10, TLS11] {
        for suite in [0x0005, 0x000a, 0x002f, 0x0035, 0xc013, 0xc014, 0xc02b, 0xc02f, 0x1301] {
            assert!(!takes(to, version, suite).await, "{version:x} {suite:x}");
        }
    }
}
