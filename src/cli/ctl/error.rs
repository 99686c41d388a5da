//! Errors of `ctl`: messages, JSON, exit codes.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::model::GrpcCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--control` is not a valid address.
    #[error(
        "--control `{0}` is not an address: write unix:PATH, https://HOST:PORT or http://HOST:PORT"
    )]
    Address(String),
    /// A backend or setting is given twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// Cannot connect.
    #[error(
        "cannot connect to {control}: {reason}\n\
         Is the gateway running, and is --control (or EQUIPOISE_CONTROL) the address that its \
         configuration has under `control`?"
    )]
    Connect {
        /// The address.
        control: String,
        /// The cause.
        reason: String,
    },
    /// TLS failed.
    #[error("no TLS with {control}: {reason}\n{help}")]
    Tls {
        /// The address.
        control: String,
        /// The cause.
        reason: String,
        /// What to do.
        help: &'static str,
    },
    /// What proves who one is cannot be used, or a context.
    #[error("{0}")]
    Credentials(String),
    /// Several gateways listen on this machine.
    #[error("several gateways listen here: name one of them with --control unix:{}", .0.join(" or unix:"))]
    Several(Vec<String>),
    /// Timed out.
    #[error("no answer from {control} within {timeout:?}; wait longer with --timeout")]
    Timeout {
        /// The address.
        control: String,
        /// The timeout.
        timeout: Duration,
    },
    /// The peer is not a control API, or has gone away.
    #[error(
        "no control API answers at {control}: {reason}\n\
         Is --control (or EQUIPOISE_CONTROL) the address that the gateway's configuration has \
         under `control`, not that of a listener or of the metrics? With TLS there it is https://."
    )]
    Stranger {
        /// The address.
        control: String,
        /// What it did.
        reason: String,
    },
    /// A watch stream broke.
    #[error(
        "the connection to {control} broke: {reason}\n\
         The gateway has ended, or all places of its control API were taken and another connection \
         needed this one: `evicted` in equipoise_connections_refused_total counts these."
    )]
    Lost {
        /// The address.
        control: String,
        /// The cause.
        reason: String,
    },
    /// The gateway refused.
    #[error("{message} ({})", .code.name())]
    Refused {
        /// The status code.
        code: GrpcCode,
        /// The message.
        message: String,
    },
    /// The gateway cannot keep a change, so that it is not in effect.
    #[error("{0} (UNAVAILABLE)")]
    NotKept(String),
    /// The gateway would make a change that is only to be tried.
    #[error(
        "the gateway at {0} is of an earlier version and does not know --dry-run: nothing was sent"
    )]
    NoDryRun(String),
    /// `--by` or `--reason` cannot be shown in a line of text.
    #[error("{0}")]
    Claim(String),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

/// The category of an error, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// The output cannot be written.
    Output,
    /// A usage error.
    Usage,
    /// No such service or route.
    NotFound,
    /// The gateway refused.
    Refused,
    /// The gateway is unreachable.
    Unreachable,
}

impl ErrorKind {
    /// The exit code of the process.
    pub fn exit_code(self) -> u8 {
        match self {
            ErrorKind::Output => 1,
            ErrorKind::Usage => 2,
            ErrorKind::NotFound => 3,
            ErrorKind::Refused => 4,
            ErrorKind::Unreachable => 5,
        }
    }
}

impl Error {
    /// The category.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Address(_)
            | Error::Twice(_)
            | Error::Claim(_)
            | Error::Credentials(_)
            | Error::Several(_) => ErrorKind::Usage,
            Error::Connect { .. }
            | Error::Tls { .. }
            | Error::Timeout { .. }
            | Error::Stranger { .. }
            | Error::Lost { .. } => ErrorKind::Unreachable,
            Error::Refused { code: GrpcCode::NotFound, .. } => ErrorKind::NotFound,
            Error::Refused { code: GrpcCode::DeadlineExceeded | GrpcCode::Unavailable, .. } => {
                ErrorKind::Unreachable
            }
            Error::Refused { .. } | Error::NotKept(_) | Error::NoDryRun(_) => ErrorKind::Refused,
            Error::Output(_) => ErrorKind::Output,
        }
    }

    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        self.kind().exit_code()
    }

    /// The error as a line of JSON.
    pub fn json(&self) -> String {
        let code = match self {
            Error::Refused { code, .. } => Some(code.name()),
            Error::NotKept(_) => Some(GrpcCode::Unavailable.name()),
            _ => None,
        };
        let message = match self {
            Error::Refused { message, .. } | Error::NotKept(message) => message.clone(),
            other => other.to_string(),
        };
        json(self.kind(), code, &message)
    }
}

/// An error as a line of JSON; `code` is the gRPC code if the gateway refused.
pub fn json(kind: ErrorKind, code: Option<&str>, message: &str) -> String {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: ErrorKind,
        exit_code: u8,
        code: Option<&'a str>,
        message: &'a str,
    }
    let failure = Failure { error: kind, exit_code: kind.exit_code(), code, message };
    super::json::line(serde_json::to_string(&failure))
}
