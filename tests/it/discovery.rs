//! Backends from sources.

mod dns;
mod etcd;
mod file;
mod kubernetes;
mod name_faults;
mod names;

use std::net::SocketAddr;

use crate::support::gateway::PORTS;

/// A configuration whose service `echo` has its backends from this source alone. `settings` are more
/// lines of the service.
pub fn discovered(source: &str, settings: &str) -> String {
    let settings: String = settings.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "{PORTS}services:\n  echo:\n    discover: {source}\n    connect_timeout: 60s\n    \
         pending_timeout: 60s\n{settings}routes: [ {{ service: echo }} ]\n"
    )
}

/// The addresses as a list in YAML.
pub fn list(addresses: &[SocketAddr]) -> String {
    let items: Vec<String> = addresses.iter().map(|address| format!("'{address}'")).collect();
    format!("[ {} ]", items.join(", "))
}
