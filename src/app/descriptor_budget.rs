//! File descriptor budget: how many clients fit beside the gateway's own descriptors.

use super::StartError;
use crate::config::Plan;
use crate::net::Descriptors;

/// The minimum number of clients. With fewer the gateway does not start: it would report ready and
/// refuse everybody.
const MIN_CLIENTS: usize = 4;

/// The descriptor budget.
#[derive(Debug)]
pub struct DescriptorBudget {
    /// Descriptors used by the gateway itself: listeners, workers, the resolver.
    own: usize,
    /// The shortage that was logged last: clients wanted, and room.
    last_warning: Option<(usize, usize)>,
}

impl DescriptorBudget {
    /// Measures the budget and warns if `plan` exceeds it. Call it when everything permanent is
    /// open and no client is connected.
    ///
    /// # Errors
    /// Hardly any client fits.
    pub fn measure(plan: &Plan) -> Result<DescriptorBudget, StartError> {
        let shares = Descriptors::now();
        let own = Descriptors::open().unwrap_or(shares.limit);
        let room = shares.clients.saturating_sub(own);
        if room < MIN_CLIENTS {
            return Err(StartError::Descriptors { limit: shares.limit, own, room });
        }
        let mut measured = DescriptorBudget { own, last_warning: None };
        measured.compare(plan);
        Ok(measured)
    }

    /// Warns if `plan` allows more clients than fit, since the shortage itself shows late. The same
    /// warning is not repeated.
    pub fn compare(&mut self, plan: &Plan) {
        let Descriptors { limit, clients, .. } = Descriptors::now();
        let room = clients.saturating_sub(self.own);
        let wanted: usize = plan.listeners.iter().map(|listener| listener.max_connections).sum();
        let short = (wanted > room).then_some((wanted, room));
        if short.is_some() && self.last_warning != short {
            tracing::warn!(
                max_connections = wanted,
                room,
                limit,
                "there are not descriptors enough for `max_connections`: further clients are \
                 refused; raise `ulimit -n` (LimitNOFILE), or lower `max_connections`",
            );
        }
        self.last_warning = short;
    }
}
