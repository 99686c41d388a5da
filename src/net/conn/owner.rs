//! Whom a connection belongs to. Nobody is told anything while the connection is in use, so whoever
//! is told may use it at once.

use std::rc::Rc;

use super::super::stream::Stream;
use super::Closed;
use crate::http::{Headers, Refusals};

/// Whom the connections of clients belong to.
pub trait Front {
    /// A client has opened a stream.
    fn request(&self, stream: Rc<Stream>, headers: Headers, end: bool);

    /// A client has opened a stream with more header fields than are allowed.
    fn oversized(&self, stream: Rc<Stream>, headers: Headers);

    /// A client has opened streams that were refused unheard.
    fn refused(&self, refusals: Refusals);

    /// A connection has begun.
    fn opened(&self);

    /// A connection has ended.
    fn closed(&self, why: Closed);
}

/// Whom a connection to a backend belongs to.
pub trait Upstream {
    /// It may take more, or fewer, streams than before, or has ended.
    fn changed(&self);

    /// It has begun.
    fn opened(&self);

    /// It has ended.
    fn closed(&self, why: Closed);
}

/// Whom a connection belongs to.
#[derive(Clone)]
pub enum Owner {
    /// Whom all those of clients do.
    Front(Rc<dyn Front>),
    /// Whom this one to a backend does.
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

    pub(super) fn refused(&self, refusals: Refusals) {
        if let Owner::Front(front) = self
            && !refusals.is_empty()
        {
            front.refused(refusals);
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

    pub(super) fn closed(&self, why: Closed) {
        match self {
            Owner::Front(front) => front.closed(why),
            Owner::Upstream(upstream) => upstream.closed(why),
        }
    }
}
