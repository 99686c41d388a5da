//! Why a command failed, for people, for programs and as an exit code.

use std::io;
use std::time::Duration;

use serde::Serialize;

use crate::model::GrpcCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `--control` is no address.
    #[error("--control `{0}` is not an address: write http://HOST:PORT")]
    Address(String),
    /// A backend or a setting is named twice.
    #[error("`{0}` is given twice")]
    Twice(String),
    /// Nothing answers there.
    #[error(
        "cannot connect to {control}: {reason}\n\
         Is the gateway running, and is --control (or EQUIPOISE_CONTROL) the address that its \
         configuration has under `control`?"
    )]
    Connect {
        /// The address that was tried.
        control: String,
        /// What went wrong there.
        reason: String,
    },
    /// No answer in time.
    #[error("no answer from {control} within {timeout:?}; wait longer with --timeout")]
    Timeout {
        /// The address that was asked.
        control: String,
        /// How long it was waited for.
        timeout: Duration,
    },
    /// Something answers, but not the control API, or no longer.
    #[error(
        "no control API answers at {control}: {reason}\n\
         Is --control (or EQUIPOISE_CONTROL) the address that the gateway's configuration has \
         under `control`, not that of a listener or of the metrics? It is spoken to in clear text, \
         never TLS."
    )]
    Stranger {
        /// The address that was asked.
        control: String,
        /// What it did.
        reason: String,
    },
    /// The connection broke while something was watched.
    #[error(
        "the connection to {control} broke: {reason}\n\
         The gateway has ended, or all places of its control API were taken and another connection \
         needed this one: `evicted` in equipoise_connections_refused_total counts these."
    )]
    Lost {
        /// The address that was asked.
        control: String,
        /// How it broke.
        reason: String,
    },
    /// The gateway said no.
    #[error("{message} ({})", .code.name())]
    Refused {
        /// The status.
        code: GrpcCode,
        /// Why.
        message: String,
    },
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(io::Error),
}

/// What kind of failure it is: each has an exit code of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The output cannot be written.
    Output,
    /// The command line is wrong.
    Usage,
    /// There is no such service or route.
    NotFound,
    /// The gateway said no.
    Refused,
    /// No gateway has answered.
    Unreachable,
}

impl Kind {
    /// What the process is to exit with.
    pub fn exit_code(self) -> u8 {
        match self {
            Kind::Output => 1,
            Kind::Usage => 2,
            Kind::NotFound => 3,
            Kind::Refused => 4,
            Kind::Unreachable => 5,
        }
    }
}

impl Error {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Error::Address(_) | Error::Twice(_) => Kind::Usage,
            Error::Connect { .. }
            | Error::Timeout { .. }
            | Error::Stranger { .. }
            | Error::Lost { .. } => Kind::Unreachable,
            Error::Refused { code: GrpcCode::NotFound, .. } => Kind::NotFound,
            Error::Refused { code: GrpcCode::DeadlineExceeded | GrpcCode::Unavailable, .. } => {
                Kind::Unreachable
            }
            Error::Refused { .. } => Kind::Refused,
            Error::Output(_) => Kind::Output,
        }
    }

    /// What the process is to exit with.
    pub fn exit_code(&self) -> u8 {
        self.kind().exit_code()
    }

    /// The error as one line of JSON.
    pub fn json(&self) -> String {
        let code = match self {
            Error::Refused { code, .. } => Some(code.name()),
            _ => None,
        };
        let message = match self {
            Error::Refused { message, .. } => message.clone(),
            other => other.to_string(),
        };
        json(self.kind(), code, &message)
    }
}

/// A failure as one line of JSON; `code` is the gateway's, if it has said no.
pub fn json(kind: Kind, code: Option<&str>, message: &str) -> String {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: Kind,
        exit_code: u8,
        code: Option<&'a str>,
        message: &'a str,
    }
    let failure = Failure { error: kind, exit_code: kind.exit_code(), code, message };
    super::json::line(serde_json::to_string(&failure))
}
