//! Somebody who is checked, and what is held of them.

use std::cell::RefCell;
use std::sync::Weak;

use super::failure::Failure;
use super::judge::Judge;
use super::{Board, CheckResult, Health, Subject};

/// Somebody who is checked.
pub(super) struct Patient {
    subject: Subject,
    board: Weak<Board>,
    judge: RefCell<Judge>,
}

impl Patient {
    /// One of whom is held what the board says.
    pub fn new(subject: Subject, board: &Weak<Board>) -> Patient {
        let known = board.upgrade().and_then(|board| board.health(&subject));
        let well = known.map_or(subject.check.well_at_first, |health| health == Health::Well);
        let judge = RefCell::new(Judge::new(&subject.check, well));
        Patient { subject, board: Weak::clone(board), judge }
    }

    /// Who it is.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// A check came to this.
    pub fn checked(&self, result: &Result<(), Failure>) {
        self.judge.borrow_mut().checked(result);
        let Some(board) = self.board.upgrade() else { return };
        match result {
            Ok(()) => board.count(&self.subject, CheckResult::Success),
            Err(failure) => board.count(&self.subject, failure.result),
        }
        // One that succeeds says nothing of why those before it did not.
        let why = result.as_ref().err().map(|failure| &*failure.why);
        self.report(&board, why);
    }

    /// They say that they serve, or do not.
    pub fn told(&self, serving: bool) {
        self.judge.borrow_mut().told(serving);
        if let Some(board) = self.board.upgrade() {
            self.report(&board, (!serving).then_some("NOT_SERVING"));
        }
    }

    fn report(&self, board: &Board, why: Option<&str>) {
        let judge = self.judge.borrow();
        let health = match (judge.is_well(), why) {
            (true, _) => Health::Well,
            (false, Some(why)) => board.unwell(why, judge.is_declared()),
            (false, None) => return,
        };
        board.report(&self.subject, health);
    }
}
