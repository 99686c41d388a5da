use super::*;

/// Intervals of a service whose calls take `base` seconds while up to `slots` are in flight, and wait
/// beyond, when `offered` a second come.
struct Model {
    learned: Learned,
    slots: f64,
    base: f64,
    offered: f64,
}

impl Model {
    fn new(offered: f64) -> Model {
        let mut learned = Learned::default();
        (0..START).for_each(|_| learned.ended(0.04));
        Model { learned, slots: 12.0, base: 0.04, offered }
    }

    /// Runs so many intervals; calls a second that came out in the last one.
    fn run(&mut self, intervals: usize) -> f64 {
        let mut rate = 0.0;
        for _ in 0..intervals {
            let wanted = self.offered * self.base;
            // Without a limit a queue of a second stands where more is offered than can be done.
            let queued = if wanted > self.slots { self.offered } else { wanted };
            let limit = self.learned.limit().map_or(f64::MAX, f64::from);
            let in_flight = queued.min(limit).max(1.0);
            let busy = in_flight.min(self.slots);
            rate = busy / self.base;
            let mut seen =
                Seen { in_flight: in_flight as u32, full: limit < queued, ..Seen::default() };
            let calls = (rate * 0.1).max(1.0) as u64;
            let held = calls as f64 * in_flight / rate;
            let reference = calls as f64 * 0.04;
            seen.classes[class_of(in_flight as u32)] = Ended { calls, held, reference };
            self.learned.update(&seen, 0.1);
        }
        rate
    }
}

#[test]
fn there_is_no_limit_while_calls_do_not_wait() {
    let mut model = Model::new(150.0);
    assert_eq!(model.learned.limit(), None);
    model.run(100);
    assert_eq!(model.learned.limit(), None);
}

#[test]
fn in_overload_it_is_what_the_backends_hold_and_a_little_more() {
    let mut model = Model::new(100.0);
    model.run(50);
    for offered in [600.0, 1500.0, 3000.0] {
        model.offered = offered;
        let rate = model.run(30);
        let limit = model.learned.limit().unwrap();
        assert!((12..=18).contains(&limit) && rate > 299.0, "{offered}: {limit}, {rate}");
    }
    model.offered = 100.0;
    model.run(100);
    assert_eq!(model.learned.limit(), None, "it goes away with the overload");
}

#[test]
fn it_follows_the_capacity_down_and_up() {
    let mut model = Model::new(100.0);
    model.run(50);
    model.offered = 600.0;
    model.run(30);
    model.slots = 6.0;
    assert!(model.run(10) > 149.0);
    assert!(model.learned.limit().unwrap() <= 12);
    model.slots = 12.0;
    assert!(model.run(10) > 290.0);
}

#[test]
fn calls_that_take_longer_by_themselves_are_not_limited_for_ever() {
    let mut model = Model::new(100.0);
    model.run(50);
    model.offered = 600.0;
    model.run(30);
    model.base = 0.08;
    model.run(20);
    assert!(model.run(10) > 140.0, "{:?}", model.learned.limit());
}

#[test]
fn where_overload_comes_with_the_first_call_a_limit_is_found() {
    let mut learned = Learned::default();
    assert_eq!(learned.limit(), Some(FIRST as u32));
    for n in 0..200 {
        let waits = learned.limit().map_or(0.0, |limit| (f64::from(limit) - 12.0).max(0.0));
        learned.ended(if n < 12 { 0.04 } else { 0.04 * (1.0 + waits / 12.0) });
    }
    assert!(!learned.is_starting());
    assert!(learned.limit().unwrap() < 60);
}

#[test]
fn when_hardly_any_is_answered_it_is_halved() {
    let mut learned = Learned::default();
    (0..START).for_each(|_| learned.ended(0.04));
    let seen = Seen { expired: 100, in_flight: 600, ..Seen::default() };
    learned.update(&seen, 0.1);
    assert_eq!(learned.limit(), None, "once may be chance");
    learned.update(&seen, 0.1);
    assert_eq!(learned.limit(), Some(300));
    (0..20).for_each(|_| learned.update(&seen, 0.1));
    assert_eq!(learned.limit(), Some(MIN as u32));
}

#[test]
fn classes_are_half_doublings() {
    assert_eq!([0, 1, 2, 3, 4, 8, 16].map(class_of), [0, 0, 2, 3, 4, 6, 8]);
    assert!(class_of(u32::MAX) + 2 < CLASSES);
}
