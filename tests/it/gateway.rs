//! The running gateway between real clients and real backends.

mod backends;
mod balancing;
mod breaks;
mod cancel;
mod filters;
mod forwarded;
mod guards;
mod hosts;
mod http1;
mod keys;
mod measures;
mod members;
mod mirror;
mod names;
mod preconnect;
mod rejections;
mod relay;
mod routing;
mod shutdown;
mod slow;
mod steer;
mod streams;
mod tls;
mod tolerance;
mod trailers;
mod wire;
