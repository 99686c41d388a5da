//! Fields, and what operators want of them.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

use super::{Expiry, Provenance};
use crate::model::{Address, Time};
use crate::text::ParamValue;

/// Settings that hold for a time and lie on each other, at most.
const MAX_DEPTH: usize = 8;

/// A part of a service, or of a route's split, that operators can set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The balancing policy of the service.
    Policy,
    /// Whether the backend is a member.
    Member(Address),
    /// The weight of the backend.
    Weight(Address),
    /// Whether the backend is drained.
    Drain(Address),
    /// Whether the backend is ejected.
    Eject(Address),
    /// The weight of a share of the split, by its name.
    Share(String),
}

impl Field {
    /// The backend that it belongs to, if it does.
    pub fn backend(&self) -> Option<&Address> {
        match self {
            Field::Policy | Field::Share(_) => None,
            Field::Member(at) | Field::Weight(at) | Field::Drain(at) | Field::Eject(at) => Some(at),
        }
    }
}

/// In words, for messages.
impl Display for Field {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Field::Policy => f.write_str("the policy"),
            Field::Member(address) => write!(f, "the membership of `{address}`"),
            Field::Weight(address) => write!(f, "the weight of `{address}`"),
            Field::Drain(address) => write!(f, "the drain of `{address}`"),
            Field::Eject(address) => write!(f, "the ejection of `{address}`"),
            Field::Share(name) => write!(f, "the weight of `{name:.64}`"),
        }
    }
}

/// What operators want of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A balancing policy with its settings.
    Policy {
        /// The policy's name.
        name: String,
        /// The settings that were given.
        settings: Vec<(String, ParamValue)>,
    },
    /// A weight.
    Weight(u32),
    /// The backend is a member, with this weight.
    Added(u32),
    /// The backend is no member.
    Removed,
    /// The backend gets no new requests.
    Drained {
        /// When its requests in flight are cut off, if at all. They end with the process, and so
        /// does this.
        deadline: Option<Time>,
    },
    /// The backend is ejected.
    Ejected,
}

/// What is wanted of a field, by whom, and until when.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// `None` for what is configured: where something else is to be back after a time.
    pub value: Option<Value>,
    /// Who wants it, and since when.
    pub provenance: Provenance,
    /// Since when, by the clock of this process.
    pub since: Time,
    /// The revision that set it.
    pub revision: u64,
    /// The revision that first set it, and its place there: backends that were added are in this order.
    pub place: (u64, u32),
    /// When it is over, if ever.
    pub until: Option<Expiry>,
    /// What is back then.
    pub under: Option<Arc<Setting>>,
    /// What distinguishes the backend that it is about from later ones at the same address, if a
    /// registry says that.
    pub instance: Option<Arc<str>>,
}

impl Setting {
    /// What holds at `now`: this, or what is left below it.
    pub fn live(self: &Arc<Setting>, now: Time) -> Option<Arc<Setting>> {
        let mut top = Some(self);
        while let Some(setting) = top {
            if setting.until.is_none_or(|until| !until.is_over(now)) {
                break;
            }
            top = setting.under.as_ref();
        }
        top.filter(|top| top.value.is_some() || top.until.is_some()).cloned()
    }

    /// This and all below it, the topmost first.
    pub fn chain(&self) -> impl Iterator<Item = &Setting> {
        std::iter::successors(Some(self), |setting| setting.under.as_deref())
    }
}

/// What a change wants of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Edit {
    /// The field.
    pub field: Field,
    /// `None` for what is configured.
    pub value: Option<Value>,
    /// What was there before the change that is reverted, of which all is to be back, its end too.
    pub before: Option<Arc<Setting>>,
}

impl Edit {
    /// Wants this value; `None` for what is configured.
    pub fn to(field: Field, value: Option<Value>) -> Edit {
        Edit { field, value, before: None }
    }
}

/// A field that a change has edited.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// The field.
    pub field: Field,
    /// Before.
    pub from: Option<Arc<Setting>>,
    /// Afterwards; `None` for what is configured.
    pub to: Option<Arc<Setting>>,
}

/// More settings that hold for a time would lie on each other than may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{MAX_DEPTH} changes that hold for a time lie on each other already: set it without a ttl first"
)]
pub struct TooDeep;

/// The setting of a field after an edit by `stamp`, which has all but value, end and what is below.
/// One that holds for a time lies on what outlives it.
///
/// # Errors
/// Too many would lie on each other.
pub fn edited(
    current: Option<&Arc<Setting>>,
    edit: &Edit,
    stamp: Setting,
    now: Time,
) -> Result<Option<Arc<Setting>>, TooDeep> {
    let value = edit.value.clone();
    let set = match (&edit.before, stamp.until) {
        (Some(before), None) => {
            let back = before.live(now);
            back.map(|back| Setting {
                value: back.value.clone(),
                until: back.until,
                under: back.under.clone(),
                place: back.place,
                ..stamp
            })
        }
        (Some(before), Some(until)) => {
            let back = before.live(now);
            let value = back.as_ref().and_then(|back| back.value.clone());
            let place = back.map_or(stamp.place, |back| back.place);
            Some(Setting { value, place, under: outliving(current, until), ..stamp })
        }
        (None, Some(until)) => Some(Setting { value, under: outliving(current, until), ..stamp }),
        (None, None) => value.map(|value| Setting { value: Some(value), under: None, ..stamp }),
    };
    // What is configured needs no setting, unless it is to hold over another one for a time.
    let set = set.filter(|set| set.value.is_some() || set.under.is_some());
    match set {
        Some(set) if set.chain().count() > MAX_DEPTH => Err(TooDeep),
        set => Ok(set.map(Arc::new)),
    }
}

/// The topmost setting that is there longer than `until`.
fn outliving(current: Option<&Arc<Setting>>, until: Expiry) -> Option<Arc<Setting>> {
    let mut top = current;
    while let Some(setting) = top {
        if setting.until.is_none_or(|own| own.at > until.at) {
            break;
        }
        top = setting.under.as_ref();
    }
    top.cloned()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    /// What is set by `revision` until `until`.
    fn stamp(revision: u64, until: Option<u64>) -> Setting {
        let (provenance, since) = (Provenance::now(&"test".into()), at(0));
        let until = until
            .map(|end| Expiry::after(Duration::from_secs(end), Time::ZERO, SystemTime::UNIX_EPOCH));
        Setting {
            value: None,
            provenance,
            since,
            revision,
            place: (revision, 0),
            until,
            under: None,
            instance: None,
        }
    }

    fn weigh(
        current: Option<&Arc<Setting>>,
        weight: Option<u32>,
        stamp: Setting,
    ) -> Option<Arc<Setting>> {
        let edit = Edit::to(Field::Policy, weight.map(Value::Weight));
        edited(current, &edit, stamp, at(0)).unwrap()
    }

    fn weight(setting: Option<&Arc<Setting>>, now: u64) -> Option<u32> {
        match setting?.live(at(now))?.value {
            Some(Value::Weight(weight)) => Some(weight),
            _ => None,
        }
    }

    #[test]
    fn what_holds_for_a_time_gives_way_to_what_was_there() {
        let first = weigh(None, Some(80), stamp(2, None));
        let second = weigh(first.as_ref(), Some(10), stamp(3, Some(60)));
        assert_eq!(weight(second.as_ref(), 59), Some(10));
        assert_eq!(weight(second.as_ref(), 60), Some(80));
        // A shorter one on top of it, a longer one in its place, and one for good.
        let third = weigh(second.as_ref(), Some(5), stamp(4, Some(30)));
        let seen = [0, 29, 30, 59, 60].map(|now| weight(third.as_ref(), now));
        assert_eq!(seen, [Some(5), Some(5), Some(10), Some(10), Some(80)]);
        let longer = weigh(third.as_ref(), Some(7), stamp(5, Some(90)));
        let seen = [0, 89, 90].map(|now| weight(longer.as_ref(), now));
        assert_eq!(seen, [Some(7), Some(7), Some(80)]);
        assert_eq!(longer.unwrap().chain().count(), 2);
        let last = weigh(third.as_ref(), Some(9), stamp(6, None));
        assert_eq!(weight(last.as_ref(), 1000), Some(9));
        assert!(last.unwrap().under.is_none());
    }

    #[test]
    fn what_is_configured_may_hold_for_a_time_too() {
        let first = weigh(None, Some(80), stamp(2, None));
        let second = weigh(first.as_ref(), None, stamp(3, Some(60)));
        assert_eq!([0, 60].map(|now| weight(second.as_ref(), now)), [None, Some(80)]);
        assert!(second.unwrap().live(at(0)).is_some(), "it is there, and has no value");
        assert_eq!(weigh(None, None, stamp(2, Some(60))), None, "nothing changes");
        let passing = weigh(None, Some(1), stamp(2, Some(60)));
        assert!(passing.unwrap().live(at(60)).is_none());
    }

    #[test]
    fn only_so_many_lie_on_each_other() {
        let mut top = None;
        for depth in 0..MAX_DEPTH as u64 {
            top = weigh(top.as_ref(), Some(1), stamp(2, Some(1000 - depth)));
        }
        let edit = Edit::to(Field::Policy, Some(Value::Weight(2)));
        assert_eq!(edited(top.as_ref(), &edit, stamp(9, Some(1)), at(0)), Err(TooDeep));
        assert!(edited(top.as_ref(), &edit, stamp(9, Some(2000)), at(0)).is_ok());
        assert!(edited(top.as_ref(), &edit, stamp(9, None), at(0)).is_ok());
    }

    #[test]
    fn a_revert_brings_back_the_end_as_well() {
        let first = weigh(None, Some(80), stamp(2, Some(60)));
        let second = weigh(first.as_ref(), Some(10), stamp(3, None));
        let edit = Edit { before: first, ..Edit::to(Field::Policy, None) };
        let back = edited(second.as_ref(), &edit, stamp(4, None), at(10)).unwrap();
        assert_eq!([10, 60].map(|now| weight(back.as_ref(), now)), [Some(80), None]);
        assert_eq!(back.unwrap().revision, 4);
        let late = edited(second.as_ref(), &edit, stamp(4, None), at(60)).unwrap();
        assert_eq!(late, None, "its time is over");
    }
}
