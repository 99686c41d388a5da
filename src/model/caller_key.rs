//! What callers are told apart by.

/// What callers are told apart by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerKey {
    /// Whom the client's certificate is for; without one, its address.
    Client,
    /// The client's address.
    SourceAddress,
    /// The first header of this name, in lower case.
    Header(Box<str>),
    /// The first cookie of this name.
    Cookie(Box<str>),
    /// The first query parameter of this name.
    Query(Box<str>),
}
