//! How long calls hold a permit, as one worker sees it.

use std::cell::{Cell, RefCell};
use std::time::Duration;

/// Weight of a sample: the average is over about so many calls.
const GAIN: f32 = 1.0 / 32.0;

/// Calls whose mean is a method's reference.
const SAMPLES: u32 = 32;

/// Averages of one worker: over all calls, and by method.
#[derive(Debug, Default)]
pub struct ServiceTime {
    all: Times,
    /// By the method's index in the service's list, which is bounded.
    methods: RefCell<Vec<Times>>,
}

#[derive(Clone, Debug, Default)]
struct Times {
    /// Moving average in seconds; 0 while nothing is known.
    average: Cell<f32>,
    /// Calls of the first ones, and their sum in seconds.
    first: Cell<(u32, f32)>,
}

impl ServiceTime {
    /// A call of this method held a permit for so long; its method's reference.
    pub fn record(&self, held: Duration, method: Option<u16>) -> Duration {
        let reference = self.all.record(held);
        let Some(method) = method else { return reference };
        let (index, mut methods) = (usize::from(method), self.methods.borrow_mut());
        if methods.len() <= index {
            methods.resize(index + 1, Times::default());
        }
        methods[index].record(held)
    }

    /// The average of all calls; zero if nothing is known.
    pub fn average(&self) -> Duration {
        self.all.average()
    }

    /// The average of a method; that of all if nothing is known of it.
    pub fn of(&self, method: Option<u16>) -> Duration {
        let methods = self.methods.borrow();
        let own = method.and_then(|method| methods.get(usize::from(method)));
        own.map(Times::average).filter(|own| !own.is_zero()).unwrap_or_else(|| self.average())
    }
}

impl Times {
    /// Returns the reference: the mean of the first calls, and from then on the same.
    fn record(&self, held: Duration) -> Duration {
        let (held, before) = (held.as_secs_f32().max(1e-6), self.average.get());
        self.average.set(if before > 0.0 { before + (held - before) * GAIN } else { held });
        let (mut count, mut sum) = self.first.get();
        if count < SAMPLES {
            (count, sum) = (count + 1, sum + held);
            self.first.set((count, sum));
        }
        Duration::from_secs_f32(sum / count as f32)
    }

    fn average(&self) -> Duration {
        Duration::from_secs_f32(self.average.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn near(time: Duration, ms: u32) -> bool {
        time.abs_diff(ms * MS) < MS / 2
    }

    #[test]
    fn methods_have_their_own_average() {
        let times = ServiceTime::default();
        assert!(times.of(Some(3)).is_zero());
        (0..1000).for_each(|_| _ = times.record(10 * MS, Some(2)));
        (0..1000).for_each(|_| _ = times.record(30 * MS, Some(0)));
        assert!(near(times.of(Some(2)), 10) && near(times.of(Some(0)), 30));
        assert!(near(times.of(Some(7)), 30) && near(times.of(None), 30), "that of all");
    }

    #[test]
    fn the_reference_of_a_method_is_what_its_first_calls_took() {
        let times = ServiceTime::default();
        (0..SAMPLES).for_each(|_| _ = times.record(10 * MS, Some(1)));
        assert!(near(times.record(500 * MS, Some(1)), 10));
    }
}
