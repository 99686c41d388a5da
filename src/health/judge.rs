//! When somebody is well: by how many checks in a row, and by their own word.

use super::Check;
use super::failure::Failure;

/// Judges by what checks come to.
#[derive(Debug)]
pub(super) struct Judge {
    rise: u32,
    fall: u32,
    well: bool,
    /// Not well by their own word.
    declared: bool,
    /// Nothing has been heard yet: the first answer decides.
    new: bool,
    /// Checks in a row that speak against what is held.
    against: u32,
}

impl Judge {
    /// One who holds somebody `well`, or not, until anything is heard.
    pub fn new(check: &Check, well: bool) -> Judge {
        let &Check { rise, fall, .. } = check;
        Judge { rise, fall, well, declared: false, new: true, against: 0 }
    }

    /// A check came to this.
    pub fn checked(&mut self, result: &Result<(), Failure>) {
        let declared = result.as_ref().is_err_and(|failure| failure.declared);
        if declared {
            return self.told(false);
        }
        let well = result.is_ok();
        // Whose word was that they take nothing, and who then is gone, has not come back.
        self.declared &= well;
        self.against = if well == self.well { 0 } else { self.against + 1 };
        let enough = if well { self.rise } else { self.fall };
        if self.against >= enough || self.new {
            self.hold(well);
        }
    }

    /// They say that they serve, or do not.
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

    /// Whether they are well.
    pub fn is_well(&self) -> bool {
        self.well
    }

    /// Whether they have said themselves that they are not.
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

    /// Whether they are well after each of these checks: `+` and `-`, or their own word, `s` and `n`.
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
