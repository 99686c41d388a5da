//! A call that holds a permit.

use std::time::Duration;

use crate::admission::class_of;
use crate::model::Time;

/// A call that holds a permit. Small, as every call in flight has one.
#[derive(Clone, Copy, Debug)]
pub struct AdmittedCall {
    /// How long it has waited for it, in microseconds.
    pub waited: u32,
    /// How long it has held it, in microseconds, once it has ended.
    pub held: u32,
    /// Its class by the calls in flight at that time.
    pub class: u8,
    /// Its method's index in the service's list, once it is known.
    pub method: Option<u16>,
    /// How it has ended.
    pub end: End,
}

/// How a call has ended, as far as it tells how long calls take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It tells nothing.
    #[default]
    Failed,
    /// It was answered.
    Answered,
    /// Its caller has given it up.
    GivenUp,
    /// Its time was over.
    Expired,
}

impl AdmittedCall {
    /// A call that has a permit from now on, with so many in flight.
    pub fn new(in_flight: u32, waited: Duration) -> AdmittedCall {
        AdmittedCall {
            waited: micros(waited),
            held: 0,
            class: class_of(in_flight) as u8, // there are fewer
            method: None,
            end: End::default(),
        }
    }

    /// The same call, which came at `came` and has ended so at `at`.
    pub fn ended(self, end: End, came: Time, at: Time) -> AdmittedCall {
        let held = micros(at.since(came)).saturating_sub(self.waited);
        AdmittedCall { end, held, ..self }
    }
}

fn micros(time: Duration) -> u32 {
    time.as_micros().try_into().unwrap_or(u32::MAX)
}
