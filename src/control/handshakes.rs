//! The door of the control port: who may come in at all, and TLS handshakes, which are bounded in
//! number, time and pace, so that strangers keep nobody from steering.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_stream::Stream;

use super::arrival::{Arrival, Certified, Clients, Socket, Transport};
use super::door::Door;
use crate::model::ControlRefusal;
use crate::overrides::Author;

/// Handshakes at a time; one more ends the oldest.
const MAX_HANDSHAKES: usize = 64;
/// The time of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// A client that has come in.
pub(super) struct Admitted<S> {
    pub stream: Transport<S>,
    pub arrival: Arrival,
    pub certified: Option<Certified>,
    pub encrypted: bool,
}

/// Lets clients in.
pub(super) struct Entrance<C, S> {
    clients: C,
    door: Arc<Door>,
    handshakes: JoinSet<Result<Admitted<S>, (Arrival, String)>>,
    /// The handshakes, the oldest first; some may be over.
    order: VecDeque<AbortHandle>,
    closed: bool,
}

impl<C, S: Socket> Entrance<C, S> {
    pub(super) fn new(clients: C, door: Arc<Door>) -> Entrance<C, S> {
        let (handshakes, order) = (JoinSet::new(), VecDeque::new());
        Entrance { clients, door, handshakes, order, closed: false }
    }

    /// Lets a client in at once, if it needs no handshake.
    fn enter(&mut self, stream: S, arrival: Arrival) -> Option<Admitted<S>> {
        if let Some(why) = self.door.turns_away(arrival) {
            self.door.refusals().count(why);
            let from = Author::from(&*arrival.to_string());
            let error = match why {
                ControlRefusal::Own => "it is the gateway itself: a route leads to its own socket",
                _ => "it came by the Unix socket as another user",
            };
            self.door.refused(&from, None, error);
            return None;
        }
        let tls = match arrival {
            Arrival::Tcp(_) => self.door.tls(),
            Arrival::Unix { .. } => None,
        };
        let Some(tls) = tls else {
            let stream = Transport::Clear(stream);
            return Some(Admitted { stream, arrival, certified: None, encrypted: false });
        };
        self.order.retain(|handshake| !handshake.is_finished());
        if self.order.len() >= MAX_HANDSHAKES
            && let Some(oldest) = self.order.pop_front()
        {
            oldest.abort();
        }
        let shaking = async move {
            let accepted = timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await;
            let stream = accepted.map_err(|_| (arrival, "it took too long".to_owned()))?;
            let stream = stream.map_err(|error| (arrival, error.to_string()))?;
            let chain = stream.get_ref().1.peer_certificates();
            let certified = chain.and_then(Certified::by);
            let stream = Transport::Tls(Box::new(stream));
            Ok(Admitted { stream, arrival, certified, encrypted: true })
        };
        self.order.push_back(self.handshakes.spawn(shaking));
        None
    }

    /// The next handshake that has succeeded.
    fn poll_handshakes(&mut self, cx: &mut Context<'_>) -> Poll<Admitted<S>> {
        loop {
            let unknown = |why: String| ("unknown peer".to_owned(), why);
            let (from, why) = match ready!(self.handshakes.poll_join_next(cx)) {
                Some(Ok(Ok(admitted))) => return Poll::Ready(admitted),
                Some(Ok(Err((arrival, why)))) => (arrival.to_string(), why),
                Some(Err(error)) if error.is_cancelled() => {
                    unknown("another needed its place".into())
                }
                Some(Err(error)) => unknown(error.to_string()),
                None => return Poll::Pending,
            };
            self.door.refusals().count(ControlRefusal::Handshake);
            let error = format!("the TLS handshake failed: {why}");
            self.door.refused(&Author::from(&*from), None, &error);
        }
    }
}

impl<S: Socket, C: Clients<S>> Stream for Entrance<C, S> {
    type Item = io::Result<Admitted<S>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Poll::Ready(admitted) = self.poll_handshakes(cx) {
                return Poll::Ready(Some(Ok(admitted)));
            }
            if self.closed {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.clients).poll_next(cx)) {
                Some(Ok((stream, arrival))) => {
                    if let Some(admitted) = self.enter(stream, arrival) {
                        return Poll::Ready(Some(Ok(admitted)));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.closed = true,
            }
        }
    }
}
