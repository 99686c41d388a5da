//! The control API's client: calls with a deadline, errors that say what to do.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status, Streaming};

use super::{Conditions, Expected, Target};
use crate::control::proto;
use crate::model::GrpcCode;
use proto::control_client::ControlClient;

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

impl Error {
    /// What the process is to exit with: 2 when the command line was wrong, 1 otherwise.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Address(_) | Error::Twice(_) => 2,
            _ => 1,
        }
    }
}

/// A connection to a gateway's control API.
pub(super) struct Client {
    channel: Channel,
    control: String,
    timeout: Duration,
}

impl Client {
    pub(super) async fn connect(control: &str, timeout: Duration) -> Result<Client, Error> {
        let with_scheme =
            if control.contains("://") { control.to_owned() } else { format!("http://{control}") };
        let bad = || Error::Address(control.to_owned());
        let endpoint = Endpoint::from_shared(with_scheme).map_err(|_| bad())?;
        let uri = endpoint.uri();
        if uri.scheme_str() != Some("http") || uri.host().is_none() {
            return Err(bad());
        }
        let endpoint = endpoint
            .connect_timeout(timeout)
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(timeout);
        let channel = endpoint.connect().await.map_err(|error| Error::Connect {
            control: control.to_owned(),
            reason: root(&error),
        })?;
        Ok(Client { channel, control: control.to_owned(), timeout })
    }

    pub(super) async fn list(&self) -> Result<Vec<proto::ServiceSummary>, Error> {
        let mut api = self.api();
        let answer = self.wait(api.list_services(proto::ListServicesRequest {}));
        Ok(answer.await?.services)
    }

    pub(super) async fn get(
        &self,
        service: String,
        since_revision: Option<u64>,
    ) -> Result<proto::Service, Error> {
        let mut api = self.api();
        let request = proto::GetServiceRequest { service, since_revision };
        self.wait(api.get_service(request)).await
    }

    pub(super) async fn watch(&self, service: String, every: Duration) -> Result<States, Error> {
        let interval = prost_types::Duration::try_from(every).ok();
        let mut api = self.api();
        let request = proto::WatchServiceRequest { service, interval, since_revision: None };
        let stream = self.wait(api.watch_service(request)).await?;
        Ok(States { control: self.control.clone(), stream })
    }

    pub(super) async fn set_weights(
        &self,
        service: &str,
        weights: BTreeMap<String, u32>,
        conditions: Conditions,
    ) -> Result<u64, Error> {
        let request = proto::SetWeightsRequest {
            service: service.to_owned(),
            weights,
            expected_revision: conditions.expected.expected_revision,
            allow_empty: conditions.allow_empty,
        };
        Ok(self.wait(self.api().set_weights(request)).await?.revision)
    }

    pub(super) async fn drain(&self, target: Target) -> Result<u64, Error> {
        let request = proto::DrainBackendRequest {
            service: target.service,
            backend: target.backend,
            expected_revision: target.conditions.expected.expected_revision,
            allow_empty: target.conditions.allow_empty,
        };
        Ok(self.wait(self.api().drain_backend(request)).await?.revision)
    }

    pub(super) async fn undrain(&self, target: Target) -> Result<u64, Error> {
        let request = proto::UndrainBackendRequest {
            service: target.service,
            backend: target.backend,
            expected_revision: target.conditions.expected.expected_revision,
            allow_empty: target.conditions.allow_empty,
        };
        let answer = self.wait(self.api().undrain_backend(request)).await?;
        Ok(answer.revision)
    }

    pub(super) async fn add(
        &self,
        service: &str,
        backends: Vec<proto::NewBackend>,
        expected: Expected,
    ) -> Result<u64, Error> {
        let request = proto::AddBackendsRequest {
            service: service.to_owned(),
            backends,
            expected_revision: expected.expected_revision,
        };
        Ok(self.wait(self.api().add_backends(request)).await?.revision)
    }

    pub(super) async fn remove(
        &self,
        service: &str,
        addresses: Vec<String>,
        conditions: Conditions,
    ) -> Result<u64, Error> {
        let request = proto::RemoveBackendsRequest {
            service: service.to_owned(),
            addresses,
            expected_revision: conditions.expected.expected_revision,
            allow_empty: conditions.allow_empty,
        };
        Ok(self.wait(self.api().remove_backends(request)).await?.revision)
    }

    pub(super) async fn set_policy(
        &self,
        service: &str,
        policy: String,
        settings: prost_types::Struct,
        expected: Expected,
    ) -> Result<u64, Error> {
        let request = proto::SetPolicyRequest {
            service: service.to_owned(),
            policy,
            settings: Some(settings),
            expected_revision: expected.expected_revision,
        };
        Ok(self.wait(self.api().set_policy(request)).await?.revision)
    }

    pub(super) async fn explain(
        &self,
        request: proto::ExplainRouteRequest,
    ) -> Result<proto::ExplainRouteResponse, Error> {
        self.wait(self.api().explain_route(request)).await
    }

    fn api(&self) -> ControlClient<Channel> {
        ControlClient::new(self.channel.clone())
    }

    async fn wait<T>(
        &self,
        call: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(refused(&self.control, &status)),
            Err(_) => Err(Error::Timeout { control: self.control.clone(), timeout: self.timeout }),
        }
    }
}

/// The states of a watched service.
pub(super) struct States {
    control: String,
    stream: Streaming<proto::Service>,
}

impl States {
    pub(super) async fn next(&mut self) -> Result<Option<proto::Service>, Error> {
        self.stream.message().await.map_err(|status| refused(&self.control, &status))
    }
}

fn refused(control: &str, status: &Status) -> Error {
    if let Some(reason) = stranger(status) {
        return Error::Stranger { control: control.to_owned(), reason };
    }
    let message = match status.message() {
        "" => "the gateway gave no reason".to_owned(),
        message => message.replace("allow_empty", "--allow-empty"),
    };
    Error::Refused { code: GrpcCode::from_number(code_number(status.code())), message }
}

/// Why the status is hardly one of the control API, if so.
fn stranger(status: &Status) -> Option<String> {
    // What the API says comes over the wire, and has no source here.
    if let Some(broken) = std::error::Error::source(status) {
        return Some(format!("the connection broke ({})", root(broken)));
    }
    match status.code() {
        Code::Unimplemented => Some("it does not know this command".into()),
        Code::Unavailable => Some(status.message().into()), // a listener without backends, say
        _ => None,
    }
}

fn code_number(code: Code) -> u32 {
    u32::try_from(i32::from(code)).unwrap_or_default()
}

/// The innermost error, which names the cause.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
