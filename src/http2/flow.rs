//! Flow-control windows (RFC 9113, section 6.9) with checked arithmetic; all changes of a window
//! are here.

/// A send window, of a stream or the connection. It becomes negative when the peer lowers
/// INITIAL_WINDOW_SIZE below what is in flight.
#[derive(Clone, Copy, Debug)]
pub struct SendWindow(i32);

/// The window would leave the range of a signed 31-bit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

impl SendWindow {
    /// A window of this size, of at most 2^31-1.
    pub fn new(size: u32) -> SendWindow {
        SendWindow(i32::try_from(size).unwrap_or(i32::MAX))
    }

    /// How many bytes may be sent now.
    pub fn available(self) -> usize {
        usize::try_from(self.0).unwrap_or(0)
    }

    /// Whether a byte may be sent now.
    pub fn is_open(self) -> bool {
        self.0 > 0
    }

    /// Consumes `bytes` that were [available](SendWindow::available).
    pub fn spend(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// Returns bytes that were not sent after all.
    pub fn refund(&mut self, bytes: usize) {
        self.0 = self.0.saturating_add(i32::try_from(bytes).unwrap_or(i32::MAX));
    }

    /// Adds a WINDOW_UPDATE of `by`.
    pub fn widen(&mut self, by: u32) -> Result<(), Overflow> {
        let by = i32::try_from(by).map_err(|_| Overflow)?;
        self.0 = self.0.checked_add(by).ok_or(Overflow)?;
        Ok(())
    }

    /// INITIAL_WINDOW_SIZE has changed: adjusts an open window by the difference.
    pub fn resize(&mut self, before: u32, now: u32) -> Result<(), Overflow> {
        let size = i64::from(self.0) + i64::from(now) - i64::from(before);
        self.0 = i32::try_from(size).map_err(|_| Overflow)?;
        Ok(())
    }
}

/// A receive window, of a stream or the connection, and the credit that is to be returned.
#[derive(Clone, Copy, Debug)]
pub struct RecvWindow {
    /// What the peer may still send, given the settings that it has acknowledged.
    left: u32,
    /// Bytes consumed whose credit is not returned yet.
    credit: u32,
}

/// The peer has exceeded its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded;

impl RecvWindow {
    /// A window of this size.
    pub fn new(size: u32) -> RecvWindow {
        RecvWindow { left: size, credit: 0 }
    }

    /// Consumes `bytes` received.
    pub fn receive(&mut self, bytes: u32) -> Result<(), Exceeded> {
        self.left = self.left.checked_sub(bytes).ok_or(Exceeded)?;
        Ok(())
    }

    /// Adds credit to be returned.
    pub fn owe(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Takes the credit for a WINDOW_UPDATE, once it is at least `least`: small ones are not worth
    /// a frame.
    pub fn grant(&mut self, least: u32) -> Option<u32> {
        if self.credit < least {
            return None;
        }
        let credit = std::mem::take(&mut self.credit);
        self.left = self.left.saturating_add(credit);
        Some(credit)
    }

    /// Bytes received and held, given the window's `size`: neither available nor credited.
    pub fn held(self, size: u32) -> usize {
        size.saturating_sub(self.left.saturating_add(self.credit)) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::frame::MAX_31;

    #[test]
    fn a_window_is_no_larger_than_there_are() {
        let mut window = SendWindow::new(1);
        assert_eq!(window.widen(MAX_31), Err(Overflow));
        assert_eq!((window.widen(MAX_31 - 1), window.available()), (Ok(()), MAX_31 as usize));
        assert_eq!(window.widen(1), Err(Overflow));
        assert_eq!(window.resize(0, 1), Err(Overflow));
        assert_eq!(window.widen(u32::MAX), Err(Overflow));
        assert_eq!(SendWindow::new(u32::MAX).available(), MAX_31 as usize);
    }

    #[test]
    fn a_window_that_was_spent_may_be_made_smaller() {
        let mut window = SendWindow::new(MAX_31);
        window.spend(MAX_31 as usize);
        assert!(!window.is_open());
        assert_eq!(window.resize(MAX_31, 0), Ok(()));
        assert_eq!((window.is_open(), window.available()), (false, 0));
        assert_eq!((window.widen(MAX_31), window.available()), (Ok(()), 0));
        assert_eq!((window.widen(7), window.available(), window.is_open()), (Ok(()), 7, true));
        window.spend(7);
        window.refund(2);
        assert_eq!(window.available(), 2);
    }

    #[test]
    fn what_came_is_granted_again_once_it_is_worth_a_frame() {
        let mut window = RecvWindow::new(100);
        assert_eq!(window.receive(101), Err(Exceeded));
        assert_eq!((window.receive(100), window.receive(1)), (Ok(()), Err(Exceeded)));
        assert_eq!(window.held(100), 100);
        window.owe(49);
        assert_eq!((window.grant(50), window.held(100)), (None, 51));
        window.owe(1);
        assert_eq!((window.grant(50), window.grant(1)), (Some(50), None));
        assert_eq!((window.receive(50), window.receive(1)), (Ok(()), Err(Exceeded)));
        assert_eq!((window.held(100), window.held(10)), (100, 10));
        window.owe(u32::MAX);
        window.owe(u32::MAX);
        assert_eq!((window.grant(1), window.held(100)), (Some(u32::MAX), 0));
    }
}
