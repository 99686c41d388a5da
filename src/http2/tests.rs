//! Tests the codec against RFC 9113, against its own limits, and both roles against each other.

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
