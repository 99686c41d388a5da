//! What the exporter reads: the services as they are now.

use std::sync::Arc;

use crate::service::{BackendState, BackendView, Registry, Service, ServiceView};
use crate::telemetry::{BackendSample, ReloadSample, Reloads, ServiceSample, Source};

/// A gateway's services, and how reloading its configuration went.
pub struct State {
    pub registry: Arc<Registry>,
    pub reloads: Arc<Reloads>,
}

impl Source for State {
    fn services(&self) -> Vec<ServiceSample> {
        self.registry.list_with_leaving().iter().map(|entry| service(entry)).collect()
    }

    fn reloads(&self) -> ReloadSample {
        self.reloads.sample()
    }
}

fn service(service: &Service) -> ServiceSample {
    let view = service.view();
    let staying = view.backends.iter().map(|backend| sample(&view, backend));
    let leaving = view.leaving.iter().map(|backend| BackendSample {
        effective_weight: 0,
        up: false,
        ..sample(&view, backend)
    });
    ServiceSample {
        name: service.name().into(),
        retries: service.retries().total(),
        copies: service.copies().totals(),
        backends: staying.chain(leaving).collect(),
    }
}

fn sample(view: &ServiceView, backend: &BackendView) -> BackendSample {
    BackendSample {
        endpoint: Arc::clone(&backend.endpoint),
        ewma: view.ewma.clone(),
        effective_weight: backend.effective_weight(),
        up: backend.state() == BackendState::Ready,
        success_ratio: backend.recent.success_ratio,
    }
}
