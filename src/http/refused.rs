//! Requests refused by a server's codec.

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is malformed.
    Malformed,
    /// Its head exceeds the limit.
    TooLarge,
    /// The client exceeded MAX_CONCURRENT_STREAMS.
    TooManyStreams,
    /// The client had been sent GOAWAY.
    Leaving,
}

impl Refused {
    const ALL: [Refused; 4] =
        [Refused::Malformed, Refused::TooLarge, Refused::TooManyStreams, Refused::Leaving];
}

/// Counts of refused requests since the last call, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RefusedRequests([u32; Refused::ALL.len()]);

impl RefusedRequests {
    /// Counts one.
    pub fn add(&mut self, why: Refused) {
        if let Some(count) = self.0.get_mut(why as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        *self == RefusedRequests::default()
    }

    /// The reasons that occurred, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, u32)> {
        Refused::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_for_itself() {
        let mut refusals = RefusedRequests::default();
        assert!(refusals.is_empty());
        for (number, why) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number);
            (0..=number).for_each(|_| refusals.add(why));
        }
        assert!(refusals.iter().eq(Refused::ALL.into_iter().zip(1..)));
    }
}
