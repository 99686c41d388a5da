//! Requests that were refused before anybody heard of them.

/// Why a server's end has refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It breaks the rules of HTTP.
    Malformed,
    /// Its head is above the limit.
    TooLarge,
    /// The client had as many streams open as it may.
    TooManyStreams,
    /// The client had been told that no more streams are taken.
    Leaving,
}

impl Refused {
    const ALL: [Refused; 4] =
        [Refused::Malformed, Refused::TooLarge, Refused::TooManyStreams, Refused::Leaving];
}

/// How many there were since this was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals([u32; Refused::ALL.len()]);

impl Refusals {
    /// Counts one.
    pub fn add(&mut self, why: Refused) {
        if let Some(count) = self.0.get_mut(why as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// Whether there was none.
    pub fn is_empty(&self) -> bool {
        *self == Refusals::default()
    }

    /// Those that there were, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, u32)> {
        Refused::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_for_itself() {
        let mut refusals = Refusals::default();
        assert!(refusals.is_empty());
        for (number, why) in Refused::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, number);
            (0..=number).for_each(|_| refusals.add(why));
        }
        assert!(refusals.iter().eq(Refused::ALL.into_iter().zip(1..)));
    }
}
