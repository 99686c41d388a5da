//! Clients of the control API, by whichever of its sockets they come.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_stream::Stream;

use crate::control::Arrival;
use crate::net::{Incoming, ListeningSocket, Socket};

/// The clients of several sockets, in turn.
pub struct ControlClients {
    sockets: Vec<Incoming>,
    /// The one that is asked first: not always the same.
    first: usize,
}

impl ControlClients {
    pub fn new(sockets: &[Arc<ListeningSocket>]) -> ControlClients {
        ControlClients { sockets: sockets.iter().cloned().map(Incoming).collect(), first: 0 }
    }
}

impl Stream for ControlClients {
    type Item = io::Result<(Socket, Arrival)>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let ControlClients { sockets, first } = &mut *self;
        let count = sockets.len();
        for turn in 0..count {
            let index = (*first + turn) % count;
            let Some(incoming) = sockets.get_mut(index) else { continue };
            while let Poll::Ready(Some(client)) = Pin::new(&mut *incoming).poll_next(cx) {
                *first = (index + 1) % count;
                let (socket, address) = match client {
                    Ok(client) => client,
                    Err(error) => return Poll::Ready(Some(Err(error))),
                };
                let arrival = match (socket.peer_user(), address) {
                    (Some(Ok((user, process))), _) => Arrival::Unix { user, process },
                    (None, Some(address)) => Arrival::Tcp(address),
                    _ => continue, // it has gone, and nobody can say who it was
                };
                return Poll::Ready(Some(Ok((socket, arrival))));
            }
        }
        Poll::Pending
    }
}
