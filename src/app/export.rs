//! What the exporter reads: the services as they are now.

use std::sync::Arc;

use crate::service::{BackendState, BackendView, Registry, Service, ServiceView};
use crate::telemetry::{BackendSample, ServiceSample, Source};

/// The services of a gateway.
pub struct Services(pub Arc<Registry>);

impl Source for Services {
    fn services(&self) -> Vec<ServiceSample> {
        self.0.list().iter().map(|entry| service(entry)).collect()
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
