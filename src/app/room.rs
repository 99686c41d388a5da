//! Whether there are descriptors enough for clients, beside what the gateway itself has open.

use super::StartError;
use crate::config::Plan;
use crate::net::Descriptors;

/// A gateway with room for fewer clients does not start: it would say that it is ready, and refuse
/// them.
const FEWEST: usize = 4;

/// Room for clients.
#[derive(Debug)]
pub struct Room {
    /// Descriptors that the gateway itself has open: for listeners, workers, the resolver.
    own: usize,
    /// Of how many clients it was said last that there is no room for them, and how much there is.
    told: Option<(usize, usize)>,
}

impl Room {
    /// What there is, and a warning if `plan` wants more. To be asked for when all is open that
    /// stays open, and no client is there.
    ///
    /// # Errors
    /// Not even a few clients fit.
    pub fn measure(plan: &Plan) -> Result<Room, StartError> {
        let shares = Descriptors::now();
        let own = Descriptors::open().unwrap_or(shares.limit);
        let room = shares.clients.saturating_sub(own);
        if room < FEWEST {
            return Err(StartError::Descriptors { limit: shares.limit, own, room });
        }
        let mut measured = Room { own, told: None };
        measured.compare(plan);
        Ok(measured)
    }

    /// Warns if `plan` wants more clients than there is room for: one too many is refused, which is
    /// seen late. What was said before is not said again.
    pub fn compare(&mut self, plan: &Plan) {
        let Descriptors { limit, clients, .. } = Descriptors::now();
        let room = clients.saturating_sub(self.own);
        let wanted: usize = plan.listeners.iter().map(|listener| listener.max_connections).sum();
        let short = (wanted > room).then_some((wanted, room));
        if short.is_some() && self.told != short {
            tracing::warn!(
                max_connections = wanted,
                room,
                limit,
                "there are not descriptors enough for `max_connections`: further clients are \
                 refused; raise `ulimit -n` (LimitNOFILE), or lower `max_connections`",
            );
        }
        self.told = short;
    }
}
