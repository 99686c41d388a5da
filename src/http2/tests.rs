//! The codec held to RFC 9113, to its own limits, and to itself.

mod end;
mod feed;
mod pair;
mod peer;
mod random;
mod script;
mod states;
mod tap;
mod wire;
