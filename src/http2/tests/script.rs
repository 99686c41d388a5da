//! Choices taken from bytes, so that proptest and libFuzzer can make, shrink and mutate them.

/// The remaining bytes; zeros once they are used up.
pub struct Script<'a>(pub &'a [u8]);

impl Script<'_> {
    /// The next byte, if there is one.
    pub fn next(&mut self) -> Option<u8> {
        let (&byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(byte)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    /// Yes or no.
    pub fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of these.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    /// A number below 2^16.
    pub fn short(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// A length: none, a few bytes, or some frames full.
    pub fn length(&mut self) -> usize {
        match self.byte() % 4 {
            0 => 0,
            1 => usize::from(self.byte()),
            2 => self.short() / 16,
            _ => self.short(),
        }
    }
}
