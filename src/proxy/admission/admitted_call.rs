//! A call that holds a permit.

use std::time::Duration;

use crate::admission::class_of;

/// A call that holds a permit. Small, as every call in flight has one.
#[derive(Clone, Copy, Debug)]
pub struct AdmittedCall {
    /// How long it has waited for it, in microseconds.
    pub waited: u32,
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
            waited: waited.as_micros().try_into().unwrap_or(u32::MAX),
            class: class_of(in_flight) as u8, // there are fewer
            method: None,
            end: End::default(),
        }
    }
}
