//! What backends did of late, and what becomes of those that are removed.

use std::collections::HashMap;
use std::sync::Arc;

use super::desired::Backend;
use super::past::{Past, Retention};
use super::recent::RejectWindow;
use super::view::BackendView;
use super::{Recent, Rejections};
use crate::model::{Endpoint, EndpointId, Time};
use crate::stats::{Window, WindowStats};

/// What backends did of late.
pub(super) struct Observed {
    windows: HashMap<EndpointId, Observation>,
    /// Removed, with requests in flight when last looked at. They do not come back: who is added
    /// at such an address is another.
    leaving: Vec<Backend>,
    past: Past,
    rejected: RejectWindow,
}

#[derive(Default)]
struct Observation {
    window: Window,
    recent: WindowStats,
}

impl Observed {
    /// Nothing yet.
    pub(super) fn new(rejections: &Arc<Rejections>, retention: Arc<Retention>) -> Observed {
        Observed {
            windows: HashMap::new(),
            leaving: Vec::new(),
            past: Past::new(retention),
            rejected: RejectWindow::new(rejections),
        }
    }

    /// These have left now.
    pub(super) fn keep(&mut self, gone: Vec<Arc<Endpoint>>, now: Time) {
        gone.into_iter().for_each(|endpoint| self.past.keep(endpoint, now));
    }

    /// The service has these no more: they finish what is in flight, and nobody asks how they are.
    pub(super) fn part_with(&mut self, gone: Vec<Backend>) {
        self.leaving.extend(gone.into_iter().map(|backend| Backend { checked: None, ..backend }));
    }

    /// Moves the windows on by a second, and lets those go that have left.
    pub(super) fn push(&mut self, backends: &[Backend], now: Time) {
        for backend in self.leaving.extract_if(.., |backend| backend.endpoint.load().is_idle()) {
            self.windows.remove(&backend.endpoint.id());
            self.past.keep(backend.endpoint, now);
        }
        self.past.forget(now);
        for Backend { endpoint, .. } in backends.iter().chain(&self.leaving) {
            let Observation { window, recent } = self.windows.entry(endpoint.id()).or_default();
            window.push(endpoint.totals().into());
            *recent = window.stats();
            endpoint.load().streams().set_message_rate(window.message_rate());
        }
        self.rejected.push();
    }

    /// A backend as it is seen.
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

    /// Those that leave, as they are seen.
    pub(super) fn leaving(&self) -> Vec<BackendView> {
        self.leaving.iter().map(|backend| self.view(backend, true)).collect()
    }

    /// Those that have left in the last minutes.
    pub(super) fn past(&self) -> Vec<Arc<Endpoint>> {
        self.past.endpoints().cloned().collect()
    }

    /// What no backend has answered.
    pub(super) fn rejections(&self) -> &Arc<Rejections> {
        self.rejected.rejections()
    }

    /// What came of all requests of late.
    pub(super) fn recent(&self) -> Recent {
        let of_late = self.windows.values().map(|seen| &seen.recent);
        Recent::new(of_late, &self.rejected.counts())
    }
}
