//! The role of an endpoint of a connection, and stream keys.

/// Which side of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// Identifies a stream of a connection: a slot in the stream table, and the id, which tells it from
/// earlier ones in that slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub(crate) slot: u32,
    pub(crate) id: u32,
}

impl Key {
    /// The key of an exchange on an HTTP/1.1 connection.
    pub(crate) const fn of_exchange(number: u32) -> Key {
        Key { slot: 0, id: number }
    }

    /// A small index, unique among the open streams.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The stream's id on the wire.
    pub const fn id(self) -> u32 {
        self.id
    }
}
