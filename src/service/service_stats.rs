//! Sliding-window statistics of a service's backends, and the removed backends: those that still
//! have requests in flight, then those retained for the metrics.

use std::collections::HashMap;
use std::sync::Arc;

use super::desired::Backend;
use super::recent_stats::RejectionWindow;
use super::retention::{RemovedEndpoints, Retention};
use super::view::BackendView;
use super::{RecentStats, Rejections, ServingPeriod};
use crate::model::{Endpoint, EndpointId, Time};
use crate::stats::{Window, WindowStats};

/// Sliding-window statistics of a service, and its removed backends.
pub(super) struct ServiceStats {
    windows: HashMap<EndpointId, BackendWindow>,
    /// Removed backends with requests in flight. They never return: a backend that is added at the
    /// same address is a new one.
    leaving: Vec<Backend>,
    removed: RemovedEndpoints,
    rejected: RejectionWindow,
}

#[derive(Default)]
struct BackendWindow {
    window: Window,
    recent: WindowStats,
    /// Cut-off requests that were logged already.
    logged_cuts: u64,
}

impl ServiceStats {
    /// Creates empty statistics.
    pub(super) fn new(rejections: &Arc<Rejections>, retention: Arc<Retention>) -> ServiceStats {
        ServiceStats {
            windows: HashMap::new(),
            leaving: Vec::new(),
            removed: RemovedEndpoints::new(retention),
            rejected: RejectionWindow::new(rejections),
        }
    }

    /// Retains endpoints that are removed and idle.
    pub(super) fn retain_removed(&mut self, removed: Vec<Arc<Endpoint>>, now: Time) {
        removed.into_iter().for_each(|endpoint| self.removed.retain(endpoint, now));
    }

    /// Removes backends: they finish their requests in flight, and their health checks stop.
    pub(super) fn remove(&mut self, removed: Vec<Backend>, now: Time) {
        let removed = removed.into_iter().map(|backend| {
            let serving_period = ServingPeriod { since: now, ..backend.serving_period };
            Backend { checked: None, serving_period, ..backend }
        });
        self.leaving.extend(removed);
    }

    /// Logs how many requests of an endpoint a drain timeout has cut off, once it is idle.
    pub(super) fn log_cuts(&mut self, service: &str, backends: &[Backend]) {
        for Backend { endpoint, address, .. } in backends.iter().chain(&self.leaving) {
            let cut = endpoint.cut();
            if cut == 0 || !endpoint.load().is_idle() {
                continue;
            }
            let logged = &mut self.windows.entry(endpoint.id()).or_default().logged_cuts;
            let (backend, count) = (address.as_str(), cut - *logged);
            *logged = cut;
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

    /// Advances the windows by one second, and moves removed backends that are idle to `removed`.
    pub(super) fn advance(&mut self, backends: &[Backend], now: Time) {
        for backend in self.leaving.extract_if(.., |backend| backend.endpoint.load().is_idle()) {
            self.windows.remove(&backend.endpoint.id());
            self.removed.retain(backend.endpoint, now);
        }
        self.removed.drop_expired(now);
        for Backend { endpoint, .. } in backends.iter().chain(&self.leaving) {
            let BackendWindow { window, recent, .. } =
                self.windows.entry(endpoint.id()).or_default();
            window.push(endpoint.totals().into());
            *recent = window.stats();
            endpoint.load().streams().set_message_rate(window.message_rate());
        }
        self.rejected.advance();
    }

    /// The view of a backend.
    pub(super) fn view(&self, backend: &Backend, leaving: bool) -> BackendView {
        let window = self.windows.get(&backend.endpoint.id());
        BackendView {
            endpoint: Arc::clone(&backend.endpoint),
            intent: backend.intent,
            serving_period: backend.serving_period,
            leaving,
            condition: backend.condition.clone(),
            shared_by: backend.shared_by,
            registered: backend.registered.clone(),
            zone: backend.zone.clone(),
            ramp: backend.ramp,
            recent: window.map(|window| window.recent.clone()).unwrap_or_default(),
        }
    }

    /// Views of removed backends with requests in flight.
    pub(super) fn leaving(&self) -> Vec<BackendView> {
        self.leaving.iter().map(|backend| self.view(backend, true)).collect()
    }

    /// Removed endpoints that are idle and retained.
    pub(super) fn removed(&self) -> Vec<Arc<Endpoint>> {
        self.removed.endpoints().cloned().collect()
    }

    /// Counters of requests that the gateway answered itself.
    pub(super) fn rejections(&self) -> &Arc<Rejections> {
        self.rejected.rejections()
    }

    /// Statistics of the last 30 seconds over all backends.
    pub(super) fn recent(&self) -> RecentStats {
        let stats = self.windows.values().map(|window| &window.recent);
        RecentStats::new(stats, &self.rejected.counts())
    }
}
