//! Outcomes of requests: codes, success classes, and failures of attempts.

/// The protocol of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Any other request, over any version of HTTP.
    Http,
}

impl Protocol {
    /// The name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Grpc => "grpc",
            Protocol::Http => "http",
        }
    }
}

macro_rules! grpc_codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal),* $(,)?) => {
        /// A gRPC status code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum GrpcCode { $($(#[$doc])* $variant = $number),* }

        /// Every gRPC status code, in numerical order.
        pub const GRPC_CODES: &[GrpcCode] = &[$(GrpcCode::$variant),*];

        impl GrpcCode {
            /// The name in the gRPC specification.
            pub const fn name(self) -> &'static str {
                match self { $(GrpcCode::$variant => $name),* }
            }
        }
    };
}

grpc_codes! {
    /// Success.
    Ok = 0 "OK",
    /// The client cancelled.
    Cancelled = 1 "CANCELLED",
    /// An unknown error.
    Unknown = 2 "UNKNOWN",
    /// An invalid argument, whatever the state of the system.
    InvalidArgument = 3 "INVALID_ARGUMENT",
    /// The deadline passed.
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED",
    /// Something requested was not found.
    NotFound = 5 "NOT_FOUND",
    /// Something to be created exists already.
    AlreadyExists = 6 "ALREADY_EXISTS",
    /// Permission denied.
    PermissionDenied = 7 "PERMISSION_DENIED",
    /// A quota or limit is exhausted.
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED",
    /// The system is not in the state required.
    FailedPrecondition = 9 "FAILED_PRECONDITION",
    /// Aborted by a concurrency conflict.
    Aborted = 10 "ABORTED",
    /// Out of the valid range.
    OutOfRange = 11 "OUT_OF_RANGE",
    /// The method is not implemented.
    Unimplemented = 12 "UNIMPLEMENTED",
    /// An internal error: an invariant is broken.
    Internal = 13 "INTERNAL",
    /// Unavailable now; may be retried.
    Unavailable = 14 "UNAVAILABLE",
    /// Unrecoverable data loss or corruption.
    DataLoss = 15 "DATA_LOSS",
    /// The caller is not authenticated.
    Unauthenticated = 16 "UNAUTHENTICATED",
}

impl GrpcCode {
    /// The code with this number; [`GrpcCode::Unknown`] if there is none.
    pub fn from_number(number: u32) -> GrpcCode {
        GRPC_CODES.get(number as usize).copied().unwrap_or(GrpcCode::Unknown)
    }

    /// The value of a `grpc-status` field.
    pub const fn digits(self) -> &'static str {
        const DIGITS: [&str; 17] = [
            "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15",
            "16",
        ];
        DIGITS[self as usize]
    }

    /// Parses the value of a `grpc-status` field.
    pub fn parse(value: &[u8]) -> GrpcCode {
        match value {
            [d @ b'0'..=b'9'] => GrpcCode::from_number(u32::from(d - b'0')),
            [b'1', d @ b'0'..=b'6'] => GrpcCode::from_number(10 + u32::from(d - b'0')),
            _ => GrpcCode::Unknown,
        }
    }
}

/// The status that a request ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A gRPC status.
    Grpc(GrpcCode),
    /// An HTTP status, 100..=999; 499 if the client cancelled.
    Http(u16),
}

/// The client's view of an outcome, as counted by metrics and health gates; OpenTelemetry's
/// convention for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Success, or an error of the client's own.
    Success,
    /// It failed.
    Failure,
    /// The client cancelled.
    Cancelled,
}

impl Class {
    /// All of them.
    pub const ALL: [Class; 3] = [Class::Success, Class::Failure, Class::Cancelled];

    /// The name on metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Success => "success",
            Class::Failure => "failure",
            Class::Cancelled => "cancelled",
        }
    }
}

/// How an attempt at a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// With the backend's own status.
    Answered(Code),
    /// The backend reset the stream, with a code that does not stand for an `AttemptFailure`.
    Reset,
    /// No response, or an incomplete one.
    Failed(AttemptFailure),
    /// The client cancelled, or cannot take such a response.
    ClientGone,
    /// The drain timeout of the gateway, or of the backend, is over.
    CutOff,
}

/// Why a backend's response is missing or incomplete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFailure {
    /// Connecting failed.
    Unreachable,
    /// It has no capacity for another request.
    Busy,
    /// It cannot take this request: the head is too large, or the protocol is another.
    Unfit,
    /// It refused the stream unprocessed (`REFUSED_STREAM`, GOAWAY).
    Refused,
    /// It reset the stream with `INTERNAL_ERROR`.
    Crashed,
    /// The connection closed.
    Lost,
    /// A protocol violation by the backend.
    Malformed,
    /// Its header list exceeds the limit.
    TooLarge,
    /// An idle timeout: it sent nothing for too long.
    Silent,
    /// The request's own timeout or deadline, which says nothing of the backend.
    Expired,
}

/// What a result says of a reachable backend's health; the input of outlier ejection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthSignal {
    /// It works.
    Success,
    /// It is at fault.
    Fault,
}

impl AttemptOutcome {
    /// Whether the backend is to blame, so that others are preferred. Only failures that no client
    /// can provoke count: a malformed request gets UNIMPLEMENTED, UNKNOWN, INTERNAL or a 500, and a
    /// short deadline DEADLINE_EXCEEDED, from a healthy backend too.
    pub fn is_backends_fault(self) -> bool {
        match self {
            AttemptOutcome::Answered(code) => matches!(
                code,
                Code::Grpc(GrpcCode::Unavailable | GrpcCode::DataLoss) | Code::Http(502..=504)
            ),
            AttemptOutcome::Failed(why) => match why {
                AttemptFailure::Unreachable
                | AttemptFailure::Refused
                | AttemptFailure::Crashed
                | AttemptFailure::Lost
                | AttemptFailure::Malformed
                | AttemptFailure::Silent => true,
                AttemptFailure::Busy
                | AttemptFailure::Unfit
                | AttemptFailure::TooLarge
                | AttemptFailure::Expired => false,
            },
            AttemptOutcome::Reset | AttemptOutcome::ClientGone | AttemptOutcome::CutOff => false,
        }
    }

    /// The signal for outlier ejection, if any. A lost connection counts once, not for each request on it
    /// (`Faults::record_lost`). A refused stream gives none: the backend is full or draining.
    pub fn signal(self) -> Option<HealthSignal> {
        match self {
            AttemptOutcome::Failed(
                AttemptFailure::Unreachable | AttemptFailure::Lost | AttemptFailure::Refused,
            ) => None,
            _ if self.is_backends_fault() => Some(HealthSignal::Fault),
            AttemptOutcome::Answered(_) => Some(HealthSignal::Success),
            _ => None,
        }
    }

    /// Whether the request is safe to retry without a retry policy: no backend can have begun to
    /// process it, and another may accept it.
    pub fn may_be_sent_again(self) -> bool {
        matches!(
            self,
            AttemptOutcome::Failed(
                AttemptFailure::Unreachable | AttemptFailure::Busy | AttemptFailure::Refused
            )
        )
    }
}

impl std::fmt::Display for Code {
    /// The gRPC code's name or the HTTP status, as in metrics.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Code::Grpc(code) => f.write_str(code.name()),
            Code::Http(status) => status.fmt(f),
        }
    }
}

impl Code {
    /// The client's view of it.
    pub fn class(self) -> Class {
        use GrpcCode::{
            Cancelled, DataLoss, DeadlineExceeded, Internal, Unavailable, Unimplemented, Unknown,
        };
        match self {
            Code::Grpc(Cancelled) | Code::Http(499) => Class::Cancelled,
            Code::Grpc(
                Unknown | DeadlineExceeded | Unimplemented | Internal | Unavailable | DataLoss,
            ) => Class::Failure,
            Code::Http(500..) => Class::Failure,
            Code::Grpc(_) | Code::Http(_) => Class::Success,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For each code: its class for the client, and whether the backend is to blame when it sent
    /// it.
    #[test]
    fn every_code_is_judged_for_each_purpose() {
        use Class::{Cancelled, Failure, Success};
        let grpc = [
            ("OK", Success, false),
            ("CANCELLED", Cancelled, false),
            ("UNKNOWN", Failure, false),
            ("INVALID_ARGUMENT", Success, false),
            ("DEADLINE_EXCEEDED", Failure, false),
            ("NOT_FOUND", Success, false),
            ("ALREADY_EXISTS", Success, false),
            ("PERMISSION_DENIED", Success, false),
            ("RESOURCE_EXHAUSTED", Success, false),
            ("FAILED_PRECONDITION", Success, false),
            ("ABORTED", Success, false),
            ("OUT_OF_RANGE", Success, false),
            ("UNIMPLEMENTED", Failure, false),
            ("INTERNAL", Failure, false),
            ("UNAVAILABLE", Failure, true),
            ("DATA_LOSS", Failure, true),
            ("UNAUTHENTICATED", Success, false),
        ];
        assert_eq!(grpc.len(), GRPC_CODES.len());
        for ((name, class, fault), code) in grpc.into_iter().zip(GRPC_CODES.iter().copied()) {
            let code = Code::Grpc(code);
            let attempt_outcome = AttemptOutcome::Answered(code);
            assert_eq!(code.to_string(), name);
            assert_eq!(
                (code.class(), attempt_outcome.is_backends_fault()),
                (class, fault),
                "{name}"
            );
            assert!(!attempt_outcome.may_be_sent_again(), "{name}: it was answered");
        }
        for status in 100..=599 {
            let class = match status {
                499 => Cancelled,
                500.. => Failure,
                _ => Success,
            };
            let (code, fault) = (Code::Http(status), [502, 503, 504].contains(&status));
            let attempt_outcome = AttemptOutcome::Answered(code);
            assert_eq!(
                (code.class(), attempt_outcome.is_backends_fault()),
                (class, fault),
                "{status}"
            );
            assert!(!attempt_outcome.may_be_sent_again(), "{status}: it was answered");
        }
    }

    /// For each outcome without a status: whether the backend is to blame, and whether the request
    /// is safe to retry.
    #[test]
    fn every_break_is_judged_for_each_purpose() {
        let broken = [
            (AttemptFailure::Unreachable, true, true),
            (AttemptFailure::Busy, false, true),
            (AttemptFailure::Unfit, false, false),
            (AttemptFailure::Refused, true, true),
            (AttemptFailure::Crashed, true, false),
            (AttemptFailure::Lost, true, false),
            (AttemptFailure::Malformed, true, false),
            (AttemptFailure::TooLarge, false, false),
            (AttemptFailure::Silent, true, false),
            (AttemptFailure::Expired, false, false),
        ];
        let broken = broken.map(|(why, fault, again)| (AttemptOutcome::Failed(why), fault, again));
        let others = [AttemptOutcome::Reset, AttemptOutcome::ClientGone, AttemptOutcome::CutOff];
        let others = others.map(|attempt_outcome| (attempt_outcome, false, false));
        for (attempt_outcome, fault, again) in broken.into_iter().chain(others) {
            let judged = (attempt_outcome.is_backends_fault(), attempt_outcome.may_be_sent_again());
            assert_eq!(judged, (fault, again), "{attempt_outcome:?}");
        }
    }

    #[test]
    fn parses_what_grpc_sends() {
        assert_eq!(GrpcCode::parse(b"0"), GrpcCode::Ok);
        assert_eq!(GrpcCode::parse(b"14"), GrpcCode::Unavailable);
        assert_eq!(GrpcCode::parse(b"16"), GrpcCode::Unauthenticated);
        for odd in [&b""[..], b"17", b"-1", b"00", b"abc", b"1 "] {
            assert_eq!(GrpcCode::parse(odd), GrpcCode::Unknown);
        }
        for (number, code) in GRPC_CODES.iter().enumerate() {
            assert_eq!(*code as usize, number);
            assert_eq!(GrpcCode::parse(number.to_string().as_bytes()), *code);
        }
    }
}
