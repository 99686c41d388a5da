//! Memory accounting of a worker's streams: queued output and buffered bodies.

use std::cell::Cell;

/// Bytes held over all connections, and their limit.
#[derive(Debug)]
pub struct Account {
    held: Cell<usize>,
    limit: usize,
}

impl Account {
    /// An empty account with this limit.
    pub fn new(limit: usize) -> Account {
        Account { held: Cell::new(0), limit }
    }

    /// Replaces one holding of `before` bytes by `after`.
    pub fn change(&self, before: usize, after: usize) {
        let rest = self.held.get().checked_sub(before);
        debug_assert!(rest.is_some(), "{before} bytes leave of {}", self.held.get());
        self.held.set(rest.unwrap_or(0) + after);
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.held.get()
    }

    /// Whether the limit is exceeded.
    pub fn is_overdrawn(&self) -> bool {
        self.held.get() > self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_of_one_holding_changes_the_sum() {
        let account = Account::new(10);
        account.change(0, 4);
        account.change(0, 6);
        assert!(!account.is_overdrawn());
        account.change(6, 7);
        assert_eq!((account.held(), account.is_overdrawn()), (11, true));
        account.change(4, 0);
        account.change(7, 0);
        assert_eq!((account.held(), account.is_overdrawn()), (0, false));
    }

    #[test]
    #[should_panic(expected = "5 bytes leave of 4")]
    fn the_account_does_not_underflow() {
        let account = Account::new(10);
        account.change(0, 4);
        account.change(5, 0);
    }
}
