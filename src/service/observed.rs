//! Sliding-window statistics of a service's backends, and the removed backends: those that still
//! have requests in flight, then those retained for the metrics.

use std::collections::HashMap;
use std::sync::Arc;

use super::desired::Backend;
use super::past::{Past, Retention};
use super::recent::RejectWindow;
use super::view::BackendView;
use super::{Recent, Rejections};
use crate::model::{Endpoint, EndpointId, Time};
use crate::stats::{Window, WindowStats};

/// Sliding-window statistics of a service, and its removed backends.
pub(super) struct Observed {
    windows: HashMap<EndpointId, Observation>,
    /// Removed backends with requests in flight. They never return: a backend that is added at the
    /// same address is a new one.
    leaving: Vec<Backend>,
    past: Past,
    rejected: RejectWindow,
}

#[derive(Default)]
struct Observation {
    window: Window,
    recent: WindowStats,
    /// Of the requests that were cut off, those that the log has told of.
    told_cut: u64,
}

impl Observed {
    /// Creates empty statistics.
    pub(super) fn new(rejections: &Arc<Rejections>, retention: Arc<Retention>) -> Observed {
        Observed {
            windows: HashMap::new(),
            leaving: Vec::new(),
            past: Past::new(retention),
            rejected: RejectWindow::new(rejections),
        }
    }

    /// Retains endpoints that are removed and idle.
    pub(super) fn keep(&mut self, gone: Vec<Arc<Endpoint>>, now: Time) {
        gone.into_iter().for_each(|endpoint| self.past.keep(endpoint, now));
    }

    /// Removes backends: they finish their requests in flight, and their health checks stop.
    pub(super) fn part_with(&mut self, gone: Vec<Backend>) {
        self.leaving.extend(gone.into_iter().map(|backend| Backend { checked: None, ..backend }));
    }

    /// Logs how many requests of an endpoint a drain timeout has cut off, once it is idle.
    pub(super) fn log_cuts(&mut self, service: &str, backends: &[Backend]) {
        for Backend { endpoint, address, .. } in backends.iter().chain(&self.leaving) {
            let cut = endpoint.cut();
            if cut == 0 || !endpoint.load().is_idle() {
                continue;
            }
            let told = &mut self.windows.entry(endpoint.id()).or_default().told_cut;
            let (backend, count) = (address.as_str(), cut - *told);
            *told = cut;
            if count > 0 {
                tracing::warn!(
                    service,
                    backend,
                    count,
                    "requests were cut off: the time to drain is over"
                );
            }
        }
    }

    /// Advances the windows by one second, and moves removed backends that are idle to `past`.
    pub(super) fn push(&mut self, backends: &[Backend], now: Time) {
        for backend in self.leaving.extract_if(.., |backend| backend.endpoint.load().is_idle()) {
            self.windows.remove(&backend.endpoint.id());
            self.past.keep(backend.endpoint, now);
        }
        self.past.forget(now);
        for Backend { endpoint, .. } in backends.iter().chain(&self.leaving) {
            let Observation { window, recent, .. } = self.windows.entry(endpoint.id()).or_default();
            window.push(endpoint.totals().into());
            *recent = window.stats();
            endpoint.load().streams().set_message_rate(window.message_rate());
        }
        self.rejected.push();
    }

    /// The view of a backend.
    pub(super) fn view(&self, backend: &Backend, leaving: bool) -> BackendView {
        let seen = self.windows.get(&backend.endpoint.id());
        BackendView {
            endpoint: Arc::clone(&backend.endpoint),
            wanted: backend.wanted,
            leaving,
            condition: backend.condition.clone(),
            recent: seen.map(|seen| seen.recent.clone()).unwrap_or_default(),
        }
    }

    /// Views of removed backends with requests in flight.
    pub(super) fn leaving(&self) -> Vec<BackendView> {
        self.leaving.iter().map(|backend| self.view(backend, true)).collect()
    }

    /// Removed endpoints that are idle and retained.
    pub(super) fn past(&self) -> Vec<Arc<Endpoint>> {
        self.past.endpoints().cloned().collect()
    }

    /// Counters of requests that the gateway answered itself.
    pub(super) fn rejections(&self) -> &Arc<Rejections> {
        self.rejected.rejections()
    }

    /// Statistics of the last 30 seconds over all backends.
    pub(super) fn recent(&self) -> Recent {
        let of_late = self.windows.values().map(|seen| &seen.recent);
        Recent::new(of_late, &self.rejected.counts())
    }
}
