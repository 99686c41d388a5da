//! A checked target and its health so far.

use std::cell::RefCell;
use std::sync::Weak;

use super::failure::Failure;
use super::thresholds::Thresholds;
use super::{CheckResult, CheckTarget, Health, HealthMonitor};

/// A checked target.
pub(super) struct Target {
    target: CheckTarget,
    monitor: Weak<HealthMonitor>,
    thresholds: RefCell<Thresholds>,
}

impl Target {
    /// Starts with the health that the monitor has.
    pub fn new(target: CheckTarget, monitor: &Weak<HealthMonitor>) -> Target {
        let known = monitor.upgrade().and_then(|monitor| monitor.health(&target));
        let healthy =
            known.map_or(target.check.initially_healthy, |health| health == Health::Healthy);
        let thresholds = RefCell::new(Thresholds::new(&target.check, healthy));
        Target { target, monitor: Weak::clone(monitor), thresholds }
    }

    /// The target.
    pub fn target(&self) -> &CheckTarget {
        &self.target
    }

    /// Records the result of a check.
    pub fn record_check(&self, result: &Result<(), Failure>) {
        self.thresholds.borrow_mut().record_check(result);
        let Some(monitor) = self.monitor.upgrade() else { return };
        match result {
            Ok(()) => monitor.count(&self.target, CheckResult::Success),
            Err(failure) => monitor.count(&self.target, failure.result),
        }
        // A success below the rise threshold leaves the reason as it was.
        let why = result.as_ref().err().map(|failure| &*failure.why);
        self.report(&monitor, why);
    }

    /// Records a status that the target reported on its Watch stream.
    pub fn record_status(&self, serving: bool) {
        self.thresholds.borrow_mut().record_status(serving);
        if let Some(monitor) = self.monitor.upgrade() {
            self.report(&monitor, (!serving).then_some("NOT_SERVING"));
        }
    }

    fn report(&self, monitor: &HealthMonitor, why: Option<&str>) {
        let thresholds = self.thresholds.borrow();
        let health = match (thresholds.is_healthy(), why) {
            (true, _) => Health::Healthy,
            (false, Some(why)) => monitor.unhealthy(why, thresholds.is_declared()),
            (false, None) => return,
        };
        monitor.report(&self.target, health);
    }
}
