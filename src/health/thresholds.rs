//! Rise and fall thresholds: turns results of checks, and reports of the target itself, into
//! healthy or unhealthy.

use super::Check;
use super::failure::Failure;

/// Health by rise and fall thresholds.
#[derive(Debug)]
pub(super) struct Thresholds {
    rise: u32,
    fall: u32,
    healthy: bool,
    /// Unhealthy by its own report.
    declared: bool,
    /// No result yet; the first one decides.
    new: bool,
    /// Results in a row that contradict the present state.
    streak: u32,
}

impl Thresholds {
    /// Starts as `healthy` until the first result.
    pub fn new(check: &Check, healthy: bool) -> Thresholds {
        let &Check { rise, fall, .. } = check;
        Thresholds { rise, fall, healthy, declared: false, new: true, streak: 0 }
    }

    /// Records the result of a check.
    pub fn record_check(&mut self, result: &Result<(), Failure>) {
        let declared = result.as_ref().is_err_and(|failure| failure.declared);
        if declared {
            return self.record_status(false);
        }
        let healthy = result.is_ok();
        // A target that reported NOT_SERVING and then became unreachable must rise as others do.
        self.declared &= healthy;
        self.streak = if healthy == self.healthy { 0 } else { self.streak + 1 };
        let enough = if healthy { self.rise } else { self.fall };
        if self.streak >= enough || self.new {
            self.set(healthy);
        }
    }

    /// Records a status that the target reported on its Watch stream.
    pub fn record_status(&mut self, serving: bool) {
        if !serving {
            self.set(false);
            self.declared = true;
        } else if self.declared {
            self.set(true);
        }
    }

    fn set(&mut self, healthy: bool) {
        (self.healthy, self.declared, self.new, self.streak) = (healthy, false, false, 0);
    }

    /// Whether it is healthy.
    pub fn is_healthy(&self) -> bool {
        self.healthy
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

    fn thresholds(healthy: bool) -> Thresholds {
        Thresholds::new(&Check { rise: 2, fall: 3, ..check() }, healthy)
    }

    /// The state after each of these: checks `+`, `-`, and `x` for NOT_SERVING; reports `s` and
    /// `n`.
    fn heard(thresholds: &mut Thresholds, what: &str) -> String {
        let one = |of: char| {
            match of {
                '+' => thresholds.record_check(&Ok(())),
                '-' => thresholds.record_check(&Err(Failure::timeout())),
                'x' => thresholds.record_check(&Err(Failure::declared())),
                word => thresholds.record_status(word == 's'),
            }
            match (thresholds.is_healthy(), thresholds.is_declared()) {
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
            assert_eq!(heard(&mut thresholds(first), "+"), "+");
            assert_eq!(heard(&mut thresholds(first), "-"), "-");
            assert_eq!(heard(&mut thresholds(first), "n"), "n");
        }
        assert_eq!(heard(&mut thresholds(false), "s+"), "-+", "a word alone is no check");
    }

    #[test]
    fn consecutive_results_reach_fall_and_rise() {
        let all = "+--+---+-++-+--+--";
        assert_eq!(heard(&mut thresholds(true), all), "++++++----++++++++");
    }

    #[test]
    fn own_reports_take_effect_at_once() {
        assert_eq!(heard(&mut thresholds(true), "+ns+"), "+n++");
        assert_eq!(heard(&mut thresholds(true), "+x++"), "+nn+", "who is asked rises as others do");
        assert_eq!(heard(&mut thresholds(true), "+nx-s+"), "+nn---", "they went away meanwhile");
        assert_eq!(
            heard(&mut thresholds(true), "+---s"),
            "+++--",
            "a word does not mend what fails"
        );
    }
}
