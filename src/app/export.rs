//! What the exporter reads: the services as they are now.

use crate::proxy::ServiceEntry;
use crate::service::{BackendState, BackendView, ServiceView};
use crate::telemetry::{BackendSample, ServiceSample, Source};

/// The services of a gateway.
pub struct Services(pub Vec<ServiceEntry>);

impl Source for Services {
    fn services(&self) -> Vec<ServiceSample> {
        self.0.iter().map(service).collect()
    }
}

fn service(entry: &ServiceEntry) -> ServiceSample {
    let view = entry.service.view();
    ServiceSample {
        name: entry.service.name().into(),
        retries: entry.retries.total(),
        backends: view.backends.iter().map(|backend| sample(&view, backend)).collect(),
    }
}

fn sample(view: &ServiceView, backend: &BackendView) -> BackendSample {
    BackendSample {
        endpoint: std::sync::Arc::clone(&backend.endpoint),
        ewma: view.ewma.clone(),
        effective_weight: backend.effective_weight(),
        up: backend.state() == BackendState::Ready,
        success_ratio: backend.recent.success_ratio,
    }
}
