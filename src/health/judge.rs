//! Rise and fall thresholds: turns results of checks, and reports of the target itself, into
//! healthy or unhealthy.

use super::Check;
use super::failure::Failure;

/// Health by rise and fall thresholds.
#[derive(Debug)]
pub(super) struct Judge {
    rise: u32,
    fall: u32,
    well: bool,
    /// Unhealthy by its own report.
    declared: bool,
    /// No result yet; the first one decides.
    new: bool,
    /// Results in a row that contradict the present state.
    against: u32,
}

impl Judge {
    /// Starts as `well` until the first result.
    pub fn new(check: &Check, well: bool) -> Judge {
        let &Check { rise, fall, .. } = check;
        Judge { rise, fall, well, declared: false, new: true, against: 0 }
    }

    /// Records the result of a check.
    pub fn checked(&mut self, result: &Result<(), Failure>) {
        let declared = result.as_ref().is_err_and(|failure| failure.declared);
        if declared {
            return self.told(false);
        }
        let well = result.is_ok();
        // A target that reported NOT_SERVING and then became unreachable must rise as others do.
        self.declared &= well;
        self.against = if well == self.well { 0 } else { self.against + 1 };
        let enough = if well { self.rise } else { self.fall };
        if self.against >= enough || self.new {
            self.hold(well);
        }
    }

    /// Records a status that the target reported on its Watch stream.
    pub fn told(&mut self, serving: bool) {
        if !serving {
            self.hold(false);
            self.declared = true;
        } else if self.declared {
            self.hold(true);
        }
    }

    fn hold(&mut self, well: bool) {
        (self.well, self.declared, self.new, self.against) = (well, false, false, 0);
    }

    /// Whether it is healthy.
    pub fn is_well(&self) -> bool {
        self.well
    }

    /// Whether it is unhealthy by its own report.
    pub fn is_declared(&self) -> bool {
        self.declared
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use super::*;

    fn judge(well: bool) -> Judge {
        Judge::new(&Check { rise: 2, fall: 3, ..check() }, well)
    }

    /// The state after each of these: checks `+`, `-`, and `x` for NOT_SERVING; reports `s` and
    /// `n`.
    fn heard(judge: &mut Judge, what: &str) -> String {
        let one = |of: char| {
            match of {
                '+' => judge.checked(&Ok(())),
                '-' => judge.checked(&Err(Failure::timeout())),
                'x' => judge.checked(&Err(Failure::declared())),
                word => judge.told(word == 's'),
            }
            match (judge.is_well(), judge.is_declared()) {
                (true, _) => '+',
                (false, declared) => {
                    if declared {
                        'n'
                    } else {
                        '-'
                    }
                }
            }
        };
        what.chars().map(one).collect()
    }

    #[test]
    fn the_first_answer_decides() {
        for first in [true, false] {
            assert_eq!(heard(&mut judge(first), "+"), "+");
            assert_eq!(heard(&mut judge(first), "-"), "-");
            assert_eq!(heard(&mut judge(first), "n"), "n");
        }
        assert_eq!(heard(&mut judge(false), "s+"), "-+", "a word alone is no check");
    }

    #[test]
    fn so_many_in_a_row_fall_and_so_many_rise() {
        let all = "+--+---+-++-+--+--";
        assert_eq!(heard(&mut judge(true), all), "++++++----++++++++");
    }

    #[test]
    fn their_own_word_holds_at_once() {
        assert_eq!(heard(&mut judge(true), "+ns+"), "+n++");
        assert_eq!(heard(&mut judge(true), "+x++"), "+nn+", "who is asked rises as others do");
        assert_eq!(heard(&mut judge(true), "+nx-s+"), "+nn---", "they went away meanwhile");
        assert_eq!(heard(&mut judge(true), "+---s"), "+++--", "a word does not mend what fails");
    }
}
