//! How a request ended.

/// What the client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// gRPC over HTTP/2.
    Grpc,
    /// Any other request, over whichever version of HTTP.
    Http,
}

impl Protocol {
    /// The name on metrics and in logs.
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
    /// The caller gave up.
    Cancelled = 1 "CANCELLED",
    /// Nothing more specific is known.
    Unknown = 2 "UNKNOWN",
    /// The request is wrong whatever the state of the system.
    InvalidArgument = 3 "INVALID_ARGUMENT",
    /// The deadline passed.
    DeadlineExceeded = 4 "DEADLINE_EXCEEDED",
    /// What was asked for does not exist.
    NotFound = 5 "NOT_FOUND",
    /// What was to be created exists.
    AlreadyExists = 6 "ALREADY_EXISTS",
    /// The caller may not do this.
    PermissionDenied = 7 "PERMISSION_DENIED",
    /// A quota or limit is used up.
    ResourceExhausted = 8 "RESOURCE_EXHAUSTED",
    /// The system is not in the state that this needs.
    FailedPrecondition = 9 "FAILED_PRECONDITION",
    /// A conflict with something concurrent.
    Aborted = 10 "ABORTED",
    /// Past the valid range.
    OutOfRange = 11 "OUT_OF_RANGE",
    /// No such method.
    Unimplemented = 12 "UNIMPLEMENTED",
    /// An invariant is broken.
    Internal = 13 "INTERNAL",
    /// Not reachable now; may be tried again.
    Unavailable = 14 "UNAVAILABLE",
    /// Data is lost.
    DataLoss = 15 "DATA_LOSS",
    /// The caller is not known.
    Unauthenticated = 16 "UNAUTHENTICATED",
}

impl GrpcCode {
    /// The code with this number; [`GrpcCode::Unknown`] for a number that is none.
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

    /// Reads the value of a `grpc-status` field.
    pub fn parse(value: &[u8]) -> GrpcCode {
        match value {
            [d @ b'0'..=b'9'] => GrpcCode::from_number(u32::from(d - b'0')),
            [b'1', d @ b'0'..=b'6'] => GrpcCode::from_number(10 + u32::from(d - b'0')),
            _ => GrpcCode::Unknown,
        }
    }
}

/// The status a request ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A gRPC call's status.
    Grpc(GrpcCode),
    /// An HTTP status, 100..=999; 499 when the client gave up.
    Http(u16),
}

/// How a request ended for who asked: what metrics and gates count. By OpenTelemetry's convention
/// for servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// What was asked was done, or rightly refused.
    Success,
    /// It failed.
    Failure,
    /// The client gave up.
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
pub enum Ending {
    /// With the backend's own status.
    Answered(Code),
    /// The backend reset the stream, with a code other than those that stand for a `Break`.
    Reset,
    /// There is no answer, or not all of it.
    Broken(Break),
    /// The client gave up, or takes no such answer.
    ClientGone,
    /// The gateway goes down, and has waited long enough.
    CutOff,
}

/// Why a backend has given no answer, or not all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It could not be connected to.
    Unreachable,
    /// It has no room for one more request.
    Busy,
    /// It takes no request of this kind: its head is too large, or it speaks another protocol.
    Unfit,
    /// It gave the request back unprocessed.
    Refused,
    /// It reset the stream for an error of its own (`INTERNAL_ERROR`).
    Crashed,
    /// Its connection ended.
    Lost,
    /// What it sent breaks the protocol.
    Malformed,
    /// It sends more header fields than the gateway takes.
    TooLarge,
    /// It sent nothing for too long.
    Silent,
    /// Its time was up, which says nothing of it.
    Expired,
}

impl Ending {
    /// Whether the backend is at fault, so that others are to be preferred. Only what no client
    /// can bring about counts: by asking for nonsense one gets UNIMPLEMENTED, UNKNOWN, INTERNAL
    /// or a 500, and by a short deadline DEADLINE_EXCEEDED, from a sound backend too.
    pub fn is_backends_fault(self) -> bool {
        match self {
            Ending::Answered(code) => matches!(
                code,
                Code::Grpc(GrpcCode::Unavailable | GrpcCode::DataLoss) | Code::Http(502..=504)
            ),
            Ending::Broken(why) => match why {
                Break::Unreachable
                | Break::Refused
                | Break::Crashed
                | Break::Lost
                | Break::Malformed
                | Break::Silent => true,
                Break::Busy | Break::Unfit | Break::TooLarge | Break::Expired => false,
            },
            Ending::Reset | Ending::ClientGone | Ending::CutOff => false,
        }
    }

    /// Whether the request may be sent to another backend without a policy that allows it: no
    /// backend can have begun it, and another may take it.
    pub fn may_be_sent_again(self) -> bool {
        matches!(self, Ending::Broken(Break::Unreachable | Break::Busy | Break::Refused))
    }
}

impl std::fmt::Display for Code {
    /// The gRPC code's name or the HTTP status, as on metrics.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Code::Grpc(code) => f.write_str(code.name()),
            Code::Http(status) => status.fmt(f),
        }
    }
}

impl Code {
    /// How it ended for who asked.
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

    /// For each code: what metrics count, and whether the backend is at fault when it is its own.
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
            let ending = Ending::Answered(code);
            assert_eq!(code.to_string(), name);
            assert_eq!((code.class(), ending.is_backends_fault()), (class, fault), "{name}");
            assert!(!ending.may_be_sent_again(), "{name}: it was answered");
        }
        for status in 100..=599 {
            let class = match status {
                499 => Cancelled,
                500.. => Failure,
                _ => Success,
            };
            let (code, fault) = (Code::Http(status), [502, 503, 504].contains(&status));
            let ending = Ending::Answered(code);
            assert_eq!((code.class(), ending.is_backends_fault()), (class, fault), "{status}");
            assert!(!ending.may_be_sent_again(), "{status}: it was answered");
        }
    }

    /// For each way to end without a status: whether the backend is at fault, and whether the
    /// request may be sent to another.
    #[test]
    fn every_break_is_judged_for_each_purpose() {
        let broken = [
            (Break::Unreachable, true, true),
            (Break::Busy, false, true),
            (Break::Unfit, false, false),
            (Break::Refused, true, true),
            (Break::Crashed, true, false),
            (Break::Lost, true, false),
            (Break::Malformed, true, false),
            (Break::TooLarge, false, false),
            (Break::Silent, true, false),
            (Break::Expired, false, false),
        ];
        let broken = broken.map(|(why, fault, again)| (Ending::Broken(why), fault, again));
        let others = [Ending::Reset, Ending::ClientGone, Ending::CutOff];
        let others = others.map(|ending| (ending, false, false));
        for (ending, fault, again) in broken.into_iter().chain(others) {
            let judged = (ending.is_backends_fault(), ending.may_be_sent_again());
            assert_eq!(judged, (fault, again), "{ending:?}");
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
