//! Who is let in, as the configuration has it now: it may change while connections and streams go on.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use dashmap::DashMap;
use http::HeaderMap;
use rustls::ServerConfig;
use rustls::server::danger::ClientCertVerifier;
use tonic::Status;

use super::arrival::{Arrival, Certified};
use super::limit::Caller;
use crate::access::{Access, Grants, Identity, bearer};
use crate::audit::{Audit, Entry, Event};
use crate::clock::{self, Clock};
use crate::model::{ControlRefusal, ControlRefusals, Time};
use crate::overrides::Author;

/// Calls that one identity may have open at a time, until their answers begin: half of all.
const MAX_CALLS_EACH: usize = 128;
/// Streams that one identity may have open: half of all.
const MAX_STREAMS_EACH: usize = 500;
/// Calls that one identity may make at once, and then in a second: the thread that answers them has
/// time for all others.
const BURST: f64 = 2000.0;
const CALLS_PER_SECOND: f64 = 500.0;
/// From this number on those who have called and do nothing are forgotten.
const SWEPT_FROM: usize = 64;
/// Interval at which refusals are logged; the audit has them all.
const WARN_INTERVAL_NANOS: u64 = 10_000_000_000;

/// What the configuration says about who may come in.
#[derive(Clone, Debug, Default)]
pub struct DoorSettings {
    /// Who may do what.
    pub access: Access,
    /// TLS of connections over TCP; clear text without.
    pub tls: Option<Arc<ServerConfig>>,
    /// Verifies client certificates.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
}

/// Who is let in.
#[derive(Debug)]
pub struct Door {
    settings: ArcSwap<DoorSettings>,
    /// How many settings there have been.
    number: AtomicU64,
    /// Who may come by the Unix socket beside root: this user, or all whom its mode lets in.
    users: Users,
    open: DashMap<Identity, Open>,
    refusals: Arc<ControlRefusals>,
    audit: Option<Arc<Audit>>,
    /// When a refusal may be logged again, in nanoseconds.
    warn_at: AtomicU64,
    clock: Clock,
}

/// Who may come by the Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Users {
    /// This user, and root.
    Only(u32),
    /// Whoever can connect: its mode has been chosen.
    ByMode,
}

/// What an identity has open, and how many calls it may make.
#[derive(Clone, Copy, Debug)]
struct Open {
    calls: usize,
    streams: usize,
    left: f64,
    at: Time,
}

/// What is counted of an identity.
#[derive(Clone, Copy, Debug)]
pub(super) enum Held {
    Call,
    Stream,
}

impl Open {
    fn new(at: Time) -> Open {
        Open { calls: 0, streams: 0, left: BURST, at }
    }

    /// Whether one more call is not too many.
    fn may_call(&mut self, now: Time) -> bool {
        let more = now.since(self.at).as_secs_f64() * CALLS_PER_SECOND;
        (self.left, self.at) = ((self.left + more).min(BURST), now);
        let may = self.left >= 1.0;
        if may {
            self.left -= 1.0;
        }
        may
    }

    /// Whether nothing would be different were it forgotten.
    fn is_idle(&self, now: Time) -> bool {
        let more = now.since(self.at).as_secs_f64() * CALLS_PER_SECOND;
        self.calls + self.streams == 0 && self.left + more >= BURST
    }

    fn of(&mut self, held: Held) -> (&mut usize, usize) {
        match held {
            Held::Call => (&mut self.calls, MAX_CALLS_EACH),
            Held::Stream => (&mut self.streams, MAX_STREAMS_EACH),
        }
    }
}

/// A place among what one identity may have open; free when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    door: Arc<Door>,
    who: Identity,
    held: Held,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(mut open) = self.door.open.get_mut(&self.who) {
            let (count, _) = open.of(self.held);
            *count = count.saturating_sub(1);
        }
    }
}

impl Door {
    /// A door with these settings; `users` may come by the Unix socket.
    pub fn new(
        settings: DoorSettings,
        users: Users,
        refusals: Arc<ControlRefusals>,
        clock: Clock,
    ) -> Door {
        let settings = ArcSwap::from_pointee(settings);
        let (open, warn_at, number) = (DashMap::new(), AtomicU64::new(0), AtomicU64::new(1));
        Door { settings, number, users, open, refusals, audit: None, warn_at, clock }
    }

    /// With an audit, which is told of calls that are refused.
    pub fn audited(self, audit: Option<Arc<Audit>>) -> Door {
        Door { audit, ..self }
    }

    /// The audit, if there is one.
    pub(super) fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.as_ref()
    }

    /// Tells the audit of a call that was refused, and now and then the log.
    pub(super) fn refused(&self, by: &Author, service: Option<&str>, error: &str) {
        let now = self.clock.now().as_nanos();
        let due = self.warn_at.load(Relaxed);
        let next = now + WARN_INTERVAL_NANOS;
        if now >= due && self.warn_at.compare_exchange(due, next, Relaxed, Relaxed).is_ok() {
            let (by, method) = (by.to_string(), by.method);
            tracing::warn!(by, method, service, error, "control API: a call is refused");
        }
        if let Some(audit) = &self.audit {
            let entry = Entry::by(by, Event::Denied).because(error);
            audit.note(match service {
                Some(service) => entry.on(service),
                None => entry,
            });
        }
    }

    /// Goes over to other settings: for every call from now on, on open connections too.
    pub fn configure(&self, settings: DoorSettings) {
        self.settings.store(Arc::new(settings));
        self.number.fetch_add(1, Relaxed);
    }

    /// What was refused.
    pub fn refusals(&self) -> &Arc<ControlRefusals> {
        &self.refusals
    }

    /// The TLS of connections over TCP.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.settings.load().tls.clone()
    }

    /// Why a client may not even come in, if so.
    pub(super) fn turns_away(&self, arrival: Arrival) -> Option<ControlRefusal> {
        let Arrival::Unix { user, process } = arrival else { return None };
        let own = i32::try_from(std::process::id()).ok();
        if process.is_some() && process == own {
            return Some(ControlRefusal::Own);
        }
        let known = match self.users {
            Users::Only(own) => user == own || user == 0,
            Users::ByMode => true,
        };
        (!known).then_some(ControlRefusal::User)
    }

    /// Who the caller is.
    ///
    /// # Errors
    /// UNAUTHENTICATED, with what is missing or wrong.
    pub(super) fn identify(
        &self,
        caller: &Caller,
        headers: &HeaderMap,
    ) -> Result<Identity, Status> {
        let (settings, now) = (self.settings.load(), clock::wall());
        let certificate = caller.certified.as_ref();
        if certificate.is_some_and(|certificate| self.has_revoked(certificate)) {
            return Err(Status::unauthenticated(REVOKED));
        }
        if let Some(over) = certificate.filter(|certificate| certificate.until <= now) {
            let until = prost_types::Timestamp::from(over.until);
            return Err(Status::unauthenticated(format!(
                "the client certificate has expired at {until}: connect again with a new one"
            )));
        }
        let token = bearer(headers).map_err(|bad| Status::unauthenticated(bad.to_string()))?;
        if let Some(token) = token {
            let identity = settings.access.token(token, now);
            return identity.map_err(|bad| Status::unauthenticated(bad.to_string()));
        }
        match (certificate, caller.arrival) {
            (Some(certificate), _) => match &certificate.who {
                Ok(who) => Ok(who.clone()),
                Err(nobody) => Err(Status::unauthenticated(nobody.to_string())),
            },
            (None, Arrival::Unix { user, .. }) => Ok(Identity::User(user)),
            (None, Arrival::Tcp(address)) => {
                let here = is_loopback(address.ip()) && !caller.encrypted;
                if here && settings.access.open_loopback {
                    return Ok(Identity::Loopback);
                }
                Err(Status::unauthenticated(
                    "who are you? Give a token (`ctl --token-file`) or a client certificate (`ctl \
                     --cert --key`), or come by the gateway's Unix socket",
                ))
            }
        }
    }

    /// Whether this certificate has been revoked since its handshake.
    pub(super) fn has_revoked(&self, certificate: &Certified) -> bool {
        let number = self.number.load(Relaxed); // before the settings, so that none is missed
        let settings = self.settings.load();
        let verifier = settings.verifier.as_deref();
        verifier.is_some_and(|verifier| certificate.is_revoked(verifier, number, clock::wall()))
    }

    /// All that somebody may do now.
    pub(super) fn grants(&self, who: &Identity) -> Grants {
        self.settings.load().access.grants(who, clock::wall())
    }

    /// A place for one more call or stream of somebody.
    ///
    /// # Errors
    /// RESOURCE_EXHAUSTED: they have as many as one may, or call too often.
    pub(super) fn place(self: &Arc<Door>, who: &Identity, held: Held) -> Result<Place, Status> {
        let now = self.clock.now();
        if self.open.len() >= SWEPT_FROM && !self.open.contains_key(who) {
            self.open.retain(|_, open| !open.is_idle(now));
        }
        let mut open = self.open.entry(who.clone()).or_insert_with(|| Open::new(now));
        if matches!(held, Held::Call) && !open.may_call(now) {
            self.refusals.count(ControlRefusal::Rate);
            let message = format!("`{who}` makes more than {CALLS_PER_SECOND} calls a second");
            return Err(Status::resource_exhausted(message));
        }
        let (count, most) = open.of(held);
        // Who has to prove nothing is anybody, and not one.
        if *count < most || *who == Identity::Loopback {
            *count += 1;
            let (door, who) = (Arc::clone(self), who.clone());
            return Ok(Place { door, who, held });
        }
        drop(open);
        let (what, why) = match held {
            Held::Call => ("calls", ControlRefusal::Calls),
            Held::Stream => ("streams", ControlRefusal::Streams),
        };
        self.refusals.count(why);
        let message = format!("`{who}` has {most} {what} open, the most that one may have");
        Err(Status::resource_exhausted(message))
    }
}

/// Why a call with a certificate that was good once is refused.
pub(super) const REVOKED: &str =
    "the client certificate has been revoked: connect again with a new one";

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(users: Users) -> Arc<Door> {
        let settings = DoorSettings::default();
        Arc::new(Door::new(settings, users, Arc::default(), Clock::start()))
    }

    #[test]
    fn the_socket_turns_away_other_users_and_the_gateway_itself() {
        let own = i32::try_from(std::process::id()).unwrap();
        let by = |user, process| Arrival::Unix { user, process };
        let only = door(Users::Only(1000));
        for (arrival, why) in [
            (by(1000, Some(own + 1)), None),
            (by(0, Some(own + 1)), None),
            (by(1000, None), None),
            (by(1001, Some(own + 1)), Some(ControlRefusal::User)),
            (by(1000, Some(own)), Some(ControlRefusal::Own)),
            (Arrival::Tcp("192.0.2.1:1".parse().unwrap()), None),
        ] {
            assert_eq!(only.turns_away(arrival), why, "{arrival:?}");
        }
        assert_eq!(door(Users::ByMode).turns_away(by(1001, Some(own + 1))), None);
        assert_eq!(door(Users::ByMode).turns_away(by(0, Some(own))), Some(ControlRefusal::Own));
    }

    #[test]
    fn nobody_has_more_than_half_of_all_places() {
        let door = door(Users::ByMode);
        let (one, other) = (Identity::User(1), Identity::User(2));
        let places: Vec<Place> =
            (0..MAX_CALLS_EACH).map(|_| door.place(&one, Held::Call).unwrap()).collect();
        let refused = door.place(&one, Held::Call).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("`uid:1` has 128 calls open"), "{}", refused.message());
        drop(door.place(&other, Held::Call).unwrap());
        drop(door.place(&one, Held::Stream).unwrap());
        drop(places);
        let calls = door.refusals().totals()[ControlRefusal::Calls as usize];
        assert_eq!(calls, ("calls", 1));
    }

    #[tokio::test(start_paused = true)]
    async fn who_floods_is_slowed_down_alone_and_forgotten_later() {
        let door = door(Users::ByMode);
        let calls =
            |who: &Identity| (0..5000).filter(|_| door.place(who, Held::Call).is_ok()).count();
        let (one, other) = (Identity::Token("one".into()), Identity::Loopback);
        assert_eq!((calls(&one), calls(&other)), (2000, 2000));
        let refused = door.place(&one, Held::Call).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.message().contains("more than 500 calls a second"), "{refused}");
        drop(door.place(&one, Held::Stream).unwrap());
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
        assert_eq!(calls(&one), 500);
        assert_eq!(
            door.refusals().totals()[ControlRefusal::Rate as usize],
            ("rate", 3000 + 3000 + 1 + 4500)
        );
        for user in 0..200 {
            drop(door.place(&Identity::User(user), Held::Call).unwrap());
            tokio::time::advance(std::time::Duration::from_secs(5)).await;
        }
        assert!(door.open.len() <= SWEPT_FROM, "{}", door.open.len());
    }
}
