//! Length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message").

/// Length of the prefix: a flag and four bytes of length.
const PREFIX: usize = 5;

/// Counts the messages in one direction of a call, across DATA frame boundaries.
#[derive(Debug, Default)]
pub struct MessageCounter {
    whole: u64,
    /// Bytes missing of the current message.
    left: u32,
    /// A partial prefix.
    prefix: [u8; PREFIX],
    prefix_len: u8,
}

impl MessageCounter {
    /// Complete messages.
    #[inline]
    pub fn whole(&self) -> u64 {
        self.whole
    }

    /// Whether exactly one message, and no part of another, was received.
    pub fn is_single(&self) -> bool {
        self.whole == 1 && self.left == 0 && self.prefix_len == 0
    }

    /// Parses the next bytes; returns how many messages they completed.
    #[inline]
    pub fn feed(&mut self, bytes: &[u8]) -> u64 {
        // Fast path: most DATA frames are one message.
        if self.left == 0
            && self.prefix_len == 0
            && let Some(([_, length @ ..], message)) = bytes.split_first_chunk::<PREFIX>()
            && u32::from_be_bytes(*length) as usize == message.len()
        {
            self.whole += 1;
            return 1;
        }
        self.feed_pieces(bytes)
    }

    #[inline(never)]
    fn feed_pieces(&mut self, mut bytes: &[u8]) -> u64 {
        let before = self.whole;
        while !bytes.is_empty() {
            bytes = if self.left > 0 { self.feed_body(bytes) } else { self.feed_prefix(bytes) };
        }
        self.whole - before
    }

    fn feed_body<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let taken = bytes.len().min(self.left as usize);
        self.left -= taken as u32;
        self.whole += u64::from(self.left == 0);
        bytes.get(taken..).unwrap_or_default()
    }

    fn feed_prefix<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        if self.prefix_len == 0
            && let Some((prefix, rest)) = bytes.split_first_chunk()
        {
            self.begin(*prefix);
            return rest;
        }
        let missing = self.prefix.get_mut(usize::from(self.prefix_len)..).unwrap_or_default();
        let taken = bytes.len().min(missing.len());
        for (to, from) in missing.iter_mut().zip(bytes) {
            *to = *from;
        }
        self.prefix_len += taken as u8;
        if usize::from(self.prefix_len) == PREFIX {
            self.prefix_len = 0;
            self.begin(self.prefix);
        }
        bytes.get(taken..).unwrap_or_default()
    }

    fn begin(&mut self, prefix: [u8; PREFIX]) {
        let [_, length @ ..] = prefix;
        self.left = u32::from_be_bytes(length);
        self.whole += u64::from(self.left == 0);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framed(lengths: &[usize]) -> Vec<u8> {
        let message = |length: &usize| {
            let mut message = vec![0];
            message.extend(u32::try_from(*length).unwrap().to_be_bytes());
            message.resize(PREFIX + length, 7);
            message
        };
        lengths.iter().flat_map(message).collect()
    }

    #[test]
    fn only_one_whole_message_is_single() {
        for (lengths, cut, single) in [
            (&[][..], 0, false),
            (&[0], 0, true),
            (&[9], 0, true),
            (&[9], 1, false),
            (&[9, 0], 0, false),
            (&[9, 3], 4, false),
            (&[9, 3], 7, false),
        ] {
            let bytes = framed(lengths);
            let mut counter = MessageCounter::default();
            counter.feed(&bytes[..bytes.len() - cut]);
            assert_eq!(counter.is_single(), single, "{lengths:?} but for {cut}");
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_matter(
            lengths in prop::collection::vec(prop_oneof![Just(0usize), 0usize..20, 0usize..3000], 0..20),
            pieces in prop::collection::vec(0usize..40, 1..40),
        ) {
            let bytes = framed(&lengths);
            let mut counter = MessageCounter::default();
            let (mut rest, mut told) = (&bytes[..], 0);
            for piece in pieces.iter().cycle().take(bytes.len() + pieces.len()) {
                let (now, later) = rest.split_at((*piece).min(rest.len()));
                told += counter.feed(now);
                rest = later;
            }
            told += counter.feed(rest);
            prop_assert_eq!((counter.whole(), told), (lengths.len() as u64, lengths.len() as u64));
            prop_assert_eq!(counter.is_single(), lengths.len() == 1);
        }
    }
}
