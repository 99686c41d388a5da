//! The codec held to RFC 9113, to its own limits, and to itself.

mod end;
mod feed;
mod pair;
mod random;
mod script;
mod tap;
