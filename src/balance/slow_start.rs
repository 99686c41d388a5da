//! Slow start: a member that is new, or back after an absence, gets a growing part of its share.
//!
//! The part is Envoy's, with an aggression of 1: the time since the start divided by the window, and
//! a tenth at least. Pickers know nothing of it. They are neither rebuilt nor changed while the part
//! grows, so a round goes on where it was and no table is filled anew. What a picker gives to a
//! starting member is accepted or not, and what is not is picked once more among the members that
//! do not start.
//!
//! - **With a key** its hash decides, together with the member's address: a key is accepted from the
//!   moment on at which the part exceeds that hash. So only keys of the starting member go elsewhere,
//!   to their next choice, and each comes home once, on every worker and gateway at the same part.
//! - **Without**, each worker keeps an account: for every pick a starting member is credited its part
//!   of its share by weight, and an accepted pick costs one. Chance alone would not do: policies that
//!   go by calls in flight pick a member all the more often, the fewer of its picks are accepted, and
//!   give it its whole share when the part is one half.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::{NearPart, PickCx};
use crate::model::{Endpoint, Time, rehashed, stable_hash};

/// The least part, so that a member is tried at all.
const MIN_FACTOR: f64 = 0.1;

/// The first part is that of this time.
const FIRST: Duration = Duration::from_secs(1);

/// Picks that an account may hold, so that a member which was not picked for a while is not flooded
/// then. With fewer, the accounts of policies that draw at random would often be full, and lose some.
const MAX_CREDIT: f64 = 16.0;

/// Starting members that a second pick avoids, to bound its search.
const MAX_AVOIDED: usize = 64;

/// Salt of the hashes, so that they are independent of those that choose a key's member.
const SALT: u32 = u32::MAX;

/// The slow start of one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ramp {
    since: Time,
    window: Duration,
    /// When the first one began, if all members are starting. They are then compared with that one,
    /// as there is nobody else to take what they do not.
    first: Option<Time>,
}

impl Ramp {
    /// A start at `since` that takes as long as `window`; `None` if it is over by `now`.
    pub fn new(since: Time, window: Duration, now: Time) -> Option<Ramp> {
        let ramp = Ramp { since, window, first: None };
        (!ramp.is_over(now)).then_some(ramp)
    }

    /// When it began.
    pub fn since(self) -> Time {
        self.since
    }

    /// The same where all members are starting, and the first one began at `first`. `None` if it is
    /// the first one itself, whose part is then the whole.
    pub fn beside(self, first: Time) -> Option<Ramp> {
        (first < self.since).then_some(Ramp { first: Some(first), ..self })
    }

    /// Which part of its share the member is to have, 0 to 1.
    pub fn factor(self, now: Time) -> f64 {
        let factor = |since| {
            let elapsed = now.since(since).max(FIRST).as_secs_f64();
            (elapsed / self.window.as_secs_f64()).clamp(MIN_FACTOR, 1.0)
        };
        factor(self.since) / self.first.map_or(1.0, factor)
    }

    /// Whether the member has its whole share.
    pub fn is_over(self, now: Time) -> bool {
        now.since(self.since).max(FIRST) >= self.window
    }
}

/// The members of a set that are starting.
#[derive(Debug, Default)]
pub struct Ramps {
    /// In the order of their indices.
    members: Box<[Starting]>,
    /// Whether keys decide on the member.
    keyed: bool,
    /// The part of the requests that is for near members alone, where zones count.
    near: Option<Arc<NearPart>>,
}

/// A member's share of the requests by weight.
#[derive(Clone, Copy, Debug, Default)]
pub struct Share {
    /// Of those that are for all members.
    pub of_all: f64,
    /// Of those that are for near members alone.
    pub of_near: f64,
}

/// A member that is starting.
#[derive(Debug)]
struct Starting {
    /// Its index in the set.
    index: usize,
    ramp: Ramp,
    share: Share,
    /// The hash of its address.
    hash: u64,
}

impl Ramps {
    /// Of members with these indices, which ascend, and shares by weight.
    pub fn new<'a>(
        members: impl Iterator<Item = (usize, &'a Endpoint, Ramp, Share)>,
        keyed: bool,
        near: Option<Arc<NearPart>>,
    ) -> Ramps {
        let member = |(index, endpoint, ramp, share): (usize, &Endpoint, Ramp, Share)| {
            let hash = stable_hash(endpoint.place().as_bytes(), SALT);
            Starting { index, ramp, share, hash }
        };
        Ramps { members: members.map(member).collect(), keyed, near }
    }

    /// Whether no member is starting.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Picks by `pick`, and once more if a starting member does not take the request. The first pick
    /// stands where no other is left. `avoided` is memory for the members to avoid.
    pub fn pick(
        &self,
        accounts: &Accounts,
        avoided: &mut Vec<usize>,
        cx: &mut PickCx<'_>,
        mut pick: impl FnMut(&mut PickCx<'_>) -> usize,
    ) -> usize {
        let first = pick(cx);
        if self.accepts(first, accounts, cx) {
            return first;
        }
        avoided.clear();
        avoided.extend_from_slice(cx.tried);
        // Beginning with that one, so that where there are too many, none of the rest is favoured.
        let split = self.members.partition_point(|member| member.index <= first);
        let (until, beyond) = self.members.split_at(split);
        let starting = until.iter().rev().chain(beyond.iter().rev());
        avoided.extend(starting.map(|member| member.index).take(MAX_AVOIDED));
        let PickCx { key, class, ref mut rng, now, .. } = *cx;
        let second = pick(&mut PickCx { key, class, tried: avoided, rng, now });
        if avoided.contains(&second) { first } else { second }
    }

    /// Whether the member at this index, which was picked, takes the request. One that is not
    /// starting does.
    fn accepts(&self, index: usize, accounts: &Accounts, cx: &PickCx<'_>) -> bool {
        let key = cx.key.filter(|key| self.keyed && !key.is_empty());
        let at = self.members.binary_search_by_key(&index, |member| member.index);
        if let Some(key) = key {
            return at
                .ok()
                .and_then(|at| self.members.get(at))
                .is_none_or(|it| it.takes(key, cx.now));
        }
        accounts.picks.set(accounts.picks.get() + 1);
        let starting = at.ok().and_then(|at| self.members.get(at).zip(accounts.members.get(at)));
        starting.is_none_or(|(member, account)| {
            account.charge(accounts.picks.get(), self.share(member) * member.ramp.factor(cx.now))
        })
    }

    /// The member's share of all requests.
    fn share(&self, member: &Starting) -> f64 {
        let near = self.near.as_ref().map_or(0.0, |part| part.get());
        let Share { of_all, of_near } = member.share;
        of_near * near + of_all * (1.0 - near)
    }
}

impl Starting {
    /// Whether it is the turn of this key to come home.
    fn takes(&self, key: &[u8], now: Time) -> bool {
        let hash = rehashed(stable_hash(key, SALT) ^ self.hash);
        (hash as f64) < self.ramp.factor(now) * 2f64.powi(64)
    }
}

/// One worker's accounts of the starting members, for picks without a key.
#[derive(Debug, Default)]
pub struct Accounts {
    /// All picks without a key.
    picks: Cell<u64>,
    members: Box<[Account]>,
}

#[derive(Debug, Default)]
struct Account {
    credit: Cell<f64>,
    /// Up to which of the picks it was credited.
    credited: Cell<u64>,
}

impl Accounts {
    /// Accounts for `ramps`. They begin with a part of a pick at random, lest all workers, and all
    /// gateways, try a new member at the same moment.
    pub fn new(ramps: &Ramps, rng: &mut fastrand::Rng) -> Accounts {
        let account = |_| Account { credit: Cell::new(rng.f64()), credited: Cell::default() };
        Accounts { picks: Cell::default(), members: ramps.members.iter().map(account).collect() }
    }
}

impl Account {
    /// Credits `part` of each of the picks since the last time; takes one if there is one.
    fn charge(&self, picks: u64, part: f64) -> bool {
        let since = picks - self.credited.replace(picks);
        let credit = (self.credit.get() + since as f64 * part).min(MAX_CREDIT);
        let pays = credit >= 1.0;
        self.credit.set(if pays { credit - 1.0 } else { credit });
        pays
    }
}
