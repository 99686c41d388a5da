//! Failures of checks, with a short reason.

use std::fmt::Display;
use std::io::ErrorKind;
use std::sync::Arc;

use super::CheckResult;
use crate::model::GRPC_CODES;
use crate::upstream::ConnectError;

/// Limit of an error's text.
const MAX_TEXT: usize = 120;

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub why: Arc<str>,
    pub result: CheckResult,
    /// The target reported NOT_SERVING itself.
    pub declared: bool,
    /// It was a complete response, so the connection stays usable.
    pub responded: bool,
}

impl Failure {
    pub fn new(why: &str) -> Failure {
        let result = CheckResult::Failure;
        Failure { why: why.into(), result, declared: false, responded: false }
    }

    /// A complete response that fails the check.
    pub fn answer(why: &str) -> Failure {
        Failure { responded: true, ..Failure::new(why) }
    }

    /// The check timed out.
    pub fn timeout() -> Failure {
        Failure { result: CheckResult::Timeout, ..Failure::new("timed out") }
    }

    /// The target reported NOT_SERVING.
    pub fn declared() -> Failure {
        Failure { declared: true, ..Failure::answer("NOT_SERVING") }
    }

    /// An unexpected HTTP status.
    pub fn http(status: u16) -> Failure {
        Failure::answer(&format!("HTTP {status}"))
    }

    /// An unexpected `grpc-status`.
    pub fn grpc(status: &[u8]) -> Failure {
        let number = std::str::from_utf8(status).ok().and_then(|text| text.parse::<usize>().ok());
        match number.and_then(|number| GRPC_CODES.get(number)) {
            Some(code) => Failure::answer(code.name()),
            None => Failure::answer("a grpc-status that is none"),
        }
    }

    /// The connection failed.
    pub fn broken(error: &dyn Display) -> Failure {
        let text: String = error.to_string().chars().take(MAX_TEXT).collect();
        Failure::new(&text)
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Failure {
        match &error {
            ConnectError::Timeout => {
                Failure { result: CheckResult::Timeout, ..Failure::new("connect: timed out") }
            }
            ConnectError::Nobody(error) if error.kind() == ErrorKind::ConnectionRefused => {
                Failure::new("connect: refused")
            }
            ConnectError::Nobody(error) => Failure::broken(&format_args!("connect: {error}")),
            error => Failure::broken(error),
        }
    }
}
