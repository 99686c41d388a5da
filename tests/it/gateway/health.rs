//! Health checks: who is out gets nothing new, and comes back.

mod flips;
mod kinds;
mod shared;

use std::net::SocketAddr;

use equipoise::control::proto::Backend as BackendView;
use equipoise::control::proto::BackendState::{self, Unhealthy};
use tonic_health::ServingStatus::{self, NotServing, Serving};
use tonic_health::server::HealthReporter;

use crate::support::backend::{Backend, Options};
use crate::support::gateway::{Control, Gateway, one_service};

/// A check as often as there can be one.
const OFTEN: &str = "interval: 100ms, timeout: 60s, rise: 1, fall: 1";

/// A backend with `grpc.health.v1`, and what it is to say there.
async fn backend() -> (Backend, HealthReporter) {
    backend_at(None).await
}

async fn backend_at(address: Option<SocketAddr>) -> (Backend, HealthReporter) {
    let health = HealthReporter::new();
    let options = Options { address, health: Some(health.clone()), ..Options::default() };
    (Backend::with(options).await, health)
}

async fn say(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
}

/// A service whose backends are checked so, with more lines of it.
fn checked(backends: &[SocketAddr], check: &str, more: &str) -> String {
    one_service(backends, &format!("health: {{ {check} }}\n{more}"))
}

fn state(backend: &BackendView) -> (BackendState, &str) {
    (backend.state(), &backend.state_reason)
}

/// Waits until the backend at this place is out, for this reason.
async fn out(control: &mut Control, index: usize, reason: &str) -> BackendView {
    let what = format!("{index} is out: {reason}");
    let is_out = |all: &[BackendView]| state(&all[index]) == (Unhealthy, reason);
    control.backends_once(&what, is_out).await.swap_remove(index)
}

/// Waits until the backend at this place is not out.
async fn well(control: &mut Control, index: usize) -> BackendView {
    let is_well = |all: &[BackendView]| all[index].state() != Unhealthy;
    control.backends_once("it is well", is_well).await.swap_remove(index)
}
