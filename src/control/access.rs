//! What the API's methods work on.

use std::sync::Arc;

use tokio::sync::watch;
use tonic::Status;

use super::watch::Streams;
use super::{audit, convert};
use crate::overrides::Author;
use crate::service::{Change, Registry, Service, Terms};
use crate::text::nearest;

/// Implements the API for the services of a registry.
pub(super) struct Control {
    pub(super) registry: Arc<Registry>,
    pub(super) streams: Streams,
}

impl Control {
    /// Streams end when `stop` turns true.
    pub(super) fn new(registry: Arc<Registry>, stop: watch::Receiver<bool>) -> Control {
        Control { registry, streams: Streams::new(stop) }
    }

    /// The service of this name.
    pub(super) fn find(&self, name: &str) -> Result<Arc<Service>, Status> {
        self.registry.get(name).ok_or_else(|| {
            let name: String = name.chars().take(64).collect();
            let services = self.registry.list();
            let known: Vec<&str> = services.iter().map(|service| service.name()).collect();
            let near = nearest(&name, known.iter().copied());
            let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            Status::not_found(format!("there is no service `{name}`{near}"))
        })
    }

    /// Whether changes outlive the process.
    pub(super) fn durable(&self) -> bool {
        self.registry.keeps_changes()
    }

    /// Changes a service; returns its revision.
    pub(super) async fn change(
        &self,
        by: Author,
        service: &str,
        change: Change,
        terms: Terms,
    ) -> Result<u64, Status> {
        let found = self.find(service).inspect_err(|unknown| {
            audit::refused(service, &by, &change, unknown.message());
        });
        let result = found?.change(change, terms, by).await;
        result.map_err(|error| convert::refusal(&error))
    }
}
