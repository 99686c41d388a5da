//! The codec held to RFC 9113, to its own limits, and to itself.

mod cancel;
mod credit;
mod end;
mod exchange;
mod feed;
mod flow;
mod frames;
mod leaving;
mod limits;
mod messages;
mod pair;
mod peer;
mod random;
mod script;
mod states;
mod tap;
mod varying;
mod wire;
