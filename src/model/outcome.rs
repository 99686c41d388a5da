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
    /// An HTTP status, 100..=599; 499 when the client gave up.
    Http(u16),
}

/// Whether an end speaks for or against the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It did what was asked, or rightly refused.
    Success,
    /// It failed, by OpenTelemetry's convention for servers.
    Failure,
    /// The client gave up: says nothing of the backend.
    Cancelled,
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
    /// What this end says of the backend.
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
