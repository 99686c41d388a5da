//! What a request is, and how its backend is to answer it: all of it follows from its number.

use std::time::Duration;

/// How a backend answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the whole response.
    Whole,
    /// With trailers alone that say that something is not there.
    TrailersOnly,
    /// Not at all: it takes the request back unprocessed.
    Refused,
    /// By a reset, before there is a head.
    ResetEarly,
    /// By a reset, in the midst of the response.
    ResetLate,
    /// With the whole response, before it has read the request.
    Early,
}

/// How a client takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It reads what comes.
    Reads,
    /// It gives credit back late, after so long.
    Slow(Duration),
    /// It gives up after so long.
    GivesUp(Duration),
}

/// What is usual in a run.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Nobody gives up without, and every backend answers.
    pub faults: bool,
    /// How long an exchange may be idle, if there is a limit.
    pub idle: Option<Duration>,
    /// Bytes that a client lets the gateway send ahead on one stream.
    pub window: u32,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub struct Exchange {
    pub id: u64,
    /// Bytes of the messages that the client sends.
    pub asks: usize,
    /// In how many messages.
    pub asked_in: usize,
    /// Bytes of the messages that the backend sends.
    pub answers: usize,
    /// In how many messages.
    pub answered_in: usize,
    pub answer: Answer,
    pub patience: Patience,
    /// The backend gives credit back late, after so long.
    pub dawdles: Option<Duration>,
    /// Before the backend answers.
    pub thinks: Duration,
    /// Between two messages, either way.
    pub pause: Duration,
    /// Nothing comes or goes for longer than may be.
    pub idles: bool,
}

impl Exchange {
    /// The request of this number, drawn from `seed`. In some worlds with faults all are hasty: much
    /// is asked, and half of it given up.
    pub fn draw(seed: u64, id: u64, habits: Habits) -> Exchange {
        let mut rng = fastrand::Rng::with_seed(seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let Habits { faults, idle, .. } = habits;
        let hasty = faults && seed.is_multiple_of(5);
        let mut size = || match rng.u8(if hasty { 10 } else { 0 }..20) {
            0 => 0,
            1..14 => rng.usize(1..300),
            14..19 => rng.usize(300..40_000),
            _ => rng.usize(40_000..400_000),
        };
        let (asks, answers) = (size(), size());
        let mut parts = || if rng.u8(..4) == 0 { rng.usize(2..6) } else { 1 };
        let (asked_in, answered_in) = (parts(), parts());
        let answer = match rng.u8(..if faults { 20 } else { 12 }) {
            10 => Answer::TrailersOnly,
            11 => Answer::Early,
            12 => Answer::ResetEarly,
            13 => Answer::ResetLate,
            14 | 15 => Answer::Refused,
            _ => Answer::Whole,
        };
        let mut short = |most: u64| Duration::from_millis(rng.u64(..most));
        let (thinks, pause, patience) = (short(40), short(20), short(120));
        let patience = match rng.u8(..10) {
            0 if faults => Patience::GivesUp(patience),
            5.. if hasty => Patience::GivesUp(patience),
            1 => Patience::Slow(pause),
            _ => Patience::Reads,
        };
        let dawdles = (rng.u8(..4) == 0).then(|| Duration::from_millis(rng.u64(..20)));
        let mut drawn = Exchange {
            id,
            asks,
            asked_in,
            answers,
            answered_in,
            answer,
            patience,
            dawdles,
            thinks,
            pause,
            idles: false,
        };
        match idle {
            Some(idle) if rng.u8(..3) == 0 => drawn.be_slow(idle, habits.window, &mut rng),
            _ => {}
        }
        drawn
    }

    /// Has it do little for nearly as long as it may, and sometimes for longer.
    fn be_slow(&mut self, idle: Duration, window: u32, rng: &mut fastrand::Rng) {
        let mut near = || idle.mul_f64(0.3 + 0.5 * rng.f64());
        (self.thinks, self.pause) = (near(), near());
        let slow = near();
        if rng.bool() && self.answers < 8 * window as usize {
            self.patience = Patience::Slow(slow);
        }
        if rng.u8(..6) == 0 {
            let beyond = idle.mul_f64(1.3 + rng.f64());
            let pauses = self.asked_in.max(self.answered_in) > 1 && rng.bool();
            *(if pauses { &mut self.pause } else { &mut self.thinks }) = beyond;
            (self.answer, self.patience, self.idles) = (Answer::Whole, Patience::Reads, true);
        }
    }

    /// The status with which it ends if nothing goes wrong.
    pub fn status(&self) -> &'static str {
        match self.answer {
            _ if self.idles => "4",
            Answer::TrailersOnly => "5",
            _ => "0",
        }
    }

    /// What the client says of how long it waits.
    pub fn timeout(&self) -> Option<String> {
        match self.patience {
            Patience::GivesUp(after) => Some(format!("{}m", after.as_millis())),
            Patience::Reads | Patience::Slow(_) => None,
        }
    }

    /// The messages of one direction as they are on the wire. No two requests have the same.
    pub fn messages(&self, asked: bool) -> Vec<Vec<u8>> {
        let (bytes, parts) =
            if asked { (self.asks, self.asked_in) } else { (self.answers, self.answered_in) };
        let salt = self.id.wrapping_mul(31) as u8 ^ u8::from(asked);
        let message = |part: usize| {
            let len = bytes / parts + usize::from(part == 0) * (bytes % parts);
            let prefix = (len as u32).to_be_bytes();
            let byte = |at: usize| (at as u8).wrapping_mul(7) ^ salt ^ part as u8;
            [&[0][..], &prefix, &(0..len).map(byte).collect::<Vec<_>>()].concat()
        };
        (0..parts).map(message).collect()
    }

    /// All bytes of one direction.
    pub fn body(&self, asked: bool) -> Vec<u8> {
        self.messages(asked).concat()
    }
}
