//! The services by name, for cold paths.

use std::sync::Arc;

use dashmap::DashMap;

use super::Service;

/// The services by name. The data path holds its services itself and never looks here.
#[derive(Debug, Default)]
pub struct Registry {
    services: DashMap<String, Arc<Service>>,
}

impl Registry {
    /// Adds `service`, in place of one of the same name.
    pub fn insert(&self, service: Arc<Service>) {
        self.services.insert(service.name().to_owned(), service);
    }

    /// The service of this name.
    pub fn get(&self, name: &str) -> Option<Arc<Service>> {
        self.services.get(name).map(|entry| Arc::clone(&entry))
    }

    /// All services, sorted by name.
    pub fn list(&self) -> Vec<Arc<Service>> {
        let mut services: Vec<_> = self.services.iter().map(|entry| Arc::clone(&entry)).collect();
        services.sort_unstable_by(|a, b| a.name().cmp(b.name()));
        services
    }
}
