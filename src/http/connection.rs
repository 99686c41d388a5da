//! An end of a connection, and how its streams are named.

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Opens streams.
    Client,
    /// Answers them.
    Server,
}

/// Names a stream of one connection: its slot, and its id to tell it from earlier ones there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub(crate) slot: u32,
    pub(crate) id: u32,
}

impl Key {
    /// The key of an exchange on a connection that has one at a time.
    pub(crate) const fn of_exchange(number: u32) -> Key {
        Key { slot: 0, id: number }
    }

    /// A small number that no other open stream of the connection has.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The stream's id on the wire.
    pub const fn id(self) -> u32 {
        self.id
    }
}
