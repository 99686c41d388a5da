//! The least that anything in between can cost: `peers-relay PORT BACKEND...` copies bytes, of each
//! client's connection to one of its own to the backends by turns, all on one thread.

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

type Failure = Box<dyn std::error::Error>;

const BUFFER: usize = 64 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let ports = std::env::args().skip(1).map(|port| port.parse());
    let ports: Vec<u16> = ports.collect::<Result<_, _>>()?;
    let [port, backends @ ..] = &ports[..] else {
        return Err("peers-relay PORT BACKEND...".into());
    };
    let listener = TcpListener::bind(("127.0.0.1", *port)).await?;
    for backend in backends.iter().copied().cycle() {
        let (client, _) = listener.accept().await?;
        tokio::spawn(async move {
            // Either end may leave when it likes.
            let _ = relay(client, backend).await;
        });
    }
    Err("no backend".into())
}

async fn relay(mut client: TcpStream, backend: u16) -> std::io::Result<()> {
    let mut backend = TcpStream::connect(("127.0.0.1", backend)).await?;
    client.set_nodelay(true)?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}
