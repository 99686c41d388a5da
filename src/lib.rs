//! Equipoise: a gateway for gRPC microservices.

pub mod app;
pub mod balance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod control;
pub mod http2;
pub mod model;
pub mod net;
pub mod proxy;
pub mod service;
pub mod telemetry;
pub mod upstream;
