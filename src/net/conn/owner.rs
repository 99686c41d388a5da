//! The owner of a connection: callbacks for its lifecycle. They run outside any borrow of the
//! connection, so they may use it.

use std::rc::Rc;

use super::super::keepalive::Keepalive;
use super::super::stream::Stream;
use super::Closed;
use crate::http::{Headers, RefusedRequests};
use crate::model::Time;

/// The owner of client (downstream) connections.
pub trait Front {
    /// A client has opened a stream.
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool);

    /// A client has opened a stream whose header list exceeds the limit.
    fn oversized(&self, stream: Rc<Stream>, headers: Headers);

    /// The codec has refused streams of a client.
    fn refused(&self, refusals: RefusedRequests);

    /// A connection has begun.
    fn opened(&self);

    /// A connection has ended.
    fn closed(&self, why: Closed);
}

/// The owner of a backend (upstream) connection.
pub trait Upstream {
    /// Its keepalive settings.
    fn keepalive(&self) -> Keepalive;

    /// It reports that it was sent too many PINGs.
    fn too_many_pings(&self);

    /// Bytes were received. This callback runs within a borrow of the connection.
    fn note_received(&self, now: Time);

    /// When bytes were last received from the same backend, on any connection.
    fn last_received(&self) -> Time;

    /// It owes an overdue answer, and has not answered a PING.
    fn frozen(&self, now: Time);

    /// Its stream capacity has changed, or it has ended.
    fn changed(&self);

    /// It has begun.
    fn opened(&self);

    /// It has ended. It is `lost` if the backend, or the network, has failed.
    fn closed(&self, why: Closed, lost: bool);
}

/// The owner of a connection.
#[derive(Clone)]
pub enum Owner {
    /// The owner of all client connections.
    Front(Rc<dyn Front>),
    /// The owner of this backend connection.
    Upstream(Rc<dyn Upstream>),
}

impl Owner {
    pub(super) fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool) {
        match self {
            Owner::Front(front) => front.request(stream, headers, end),
            // A backend cannot open streams: push is not enabled.
            Owner::Upstream(_) => stream.conn().worker().recycle(headers),
        }
    }

    pub(super) fn oversized(&self, stream: Rc<Stream>, headers: Headers) {
        match self {
            Owner::Front(front) => front.oversized(stream, headers),
            Owner::Upstream(_) => stream.conn().worker().recycle(headers), // as above
        }
    }

    pub(super) fn refused(&self, refusals: RefusedRequests) {
        if let Owner::Front(front) = self
            && !refusals.is_empty()
        {
            front.refused(refusals);
        }
    }

    pub(super) fn keepalive(&self) -> Option<Keepalive> {
        match self {
            Owner::Front(_) => None,
            Owner::Upstream(upstream) => Some(upstream.keepalive()),
        }
    }

    pub(super) fn too_many_pings(&self) {
        if let Owner::Upstream(upstream) = self {
            upstream.too_many_pings();
        }
    }

    pub(super) fn note_received(&self, now: Time) {
        if let Owner::Upstream(upstream) = self {
            upstream.note_received(now);
        }
    }

    pub(super) fn last_received(&self) -> Time {
        match self {
            Owner::Front(_) => Time::ZERO,
            Owner::Upstream(upstream) => upstream.last_received(),
        }
    }

    pub(super) fn frozen(&self, now: Time) {
        if let Owner::Upstream(upstream) = self {
            upstream.frozen(now);
        }
    }

    pub(super) fn changed(&self) {
        if let Owner::Upstream(upstream) = self {
            upstream.changed();
        }
    }

    pub(super) fn opened(&self) {
        match self {
            Owner::Front(front) => front.opened(),
            Owner::Upstream(upstream) => upstream.opened(),
        }
    }

    pub(super) fn closed(&self, why: Closed, lost: bool) {
        match self {
            Owner::Front(front) => front.closed(why),
            Owner::Upstream(upstream) => upstream.closed(why, lost),
        }
    }
}
