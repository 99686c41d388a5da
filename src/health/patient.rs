//! A checked target and its health so far.

use std::cell::RefCell;
use std::sync::Weak;

use super::failure::Failure;
use super::judge::Judge;
use super::{Board, CheckResult, Health, Subject};

/// A checked target.
pub(super) struct Patient {
    subject: Subject,
    board: Weak<Board>,
    judge: RefCell<Judge>,
}

impl Patient {
    /// Starts with the health on the board.
    pub fn new(subject: Subject, board: &Weak<Board>) -> Patient {
        let known = board.upgrade().and_then(|board| board.health(&subject));
        let well = known.map_or(subject.check.well_at_first, |health| health == Health::Well);
        let judge = RefCell::new(Judge::new(&subject.check, well));
        Patient { subject, board: Weak::clone(board), judge }
    }

    /// The target.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Records the result of a check.
    pub fn checked(&self, result: &Result<(), Failure>) {
        self.judge.borrow_mut().checked(result);
        let Some(board) = self.board.upgrade() else { return };
        match result {
            Ok(()) => board.count(&self.subject, CheckResult::Success),
            Err(failure) => board.count(&self.subject, failure.result),
        }
        // A success below the rise threshold leaves the reason as it was.
        let why = result.as_ref().err().map(|failure| &*failure.why);
        self.report(&board, why);
    }

    /// Records a status that the target reported on its Watch stream.
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
