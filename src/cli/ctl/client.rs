//! The control API's client: call timeouts, and errors that say what to do.

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::metadata::{AsciiMetadataValue, BinaryMetadataValue, MetadataMap};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, Streaming};

use super::Error;
use super::credentials::{Credentials, help};
use super::place::Place;
use crate::control::{BY, BY_BINARY, NOT_KEPT, REASON, REASON_BINARY, proto};
use crate::model::GrpcCode;
use crate::text::SecretText;
use proto::control_client::ControlClient;

/// Maximum size of a response. A service of ten thousand backends with all details is a few MiB.
const MAX_ANSWER: usize = 64 << 20;

/// A client connected to a gateway's control API.
pub(super) struct Client {
    channel: Channel,
    control: String,
    timeout: Duration,
    signed: WithAuthor,
}

/// An interceptor that adds author and reason to the metadata of each call.
#[derive(Clone, Default)]
pub(super) struct WithAuthor {
    pub by: Option<String>,
    pub reason: Option<String>,
    pub token: Option<SecretText>,
}

impl Interceptor for WithAuthor {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let metadata = request.metadata_mut();
        add(metadata, [BY, BY_BINARY], self.by.as_deref());
        add(metadata, [REASON, REASON_BINARY], self.reason.as_deref());
        if let Some(token) = &self.token {
            let bearer = SecretText::new(format!("Bearer {}", token.reveal()));
            let value = AsciiMetadataValue::try_from(bearer.reveal());
            let mut value = value.map_err(|_| Status::internal("the token is no text"))?;
            value.set_sensitive(true);
            metadata.insert("authorization", value);
        }
        Ok(request)
    }
}

/// Adds a text under the first key if it is ASCII, else under the second.
fn add(metadata: &mut MetadataMap, [plain, binary]: [&'static str; 2], text: Option<&str>) {
    let Some(text) = text else { return };
    match AsciiMetadataValue::try_from(text) {
        Ok(value) if text.is_ascii() => _ = metadata.insert(plain, value),
        _ => _ = metadata.insert_bin(binary, BinaryMetadataValue::from_bytes(text.as_bytes())),
    }
}

/// Connects to a place.
async fn open(
    place: Place,
    credentials: &Credentials,
    control: &str,
    timeout: Duration,
) -> Result<Channel, Error> {
    let endpoint = match &place {
        Place::Socket(path) => Endpoint::from_shared(format!("unix:{path}")),
        Place::Clear(authority) | Place::Tls(authority, _) => {
            // The scheme is for the names of requests alone: TLS is made below.
            Endpoint::from_shared(format!("http://{authority}"))
        }
    };
    let endpoint = endpoint
        .map_err(|_| Error::Address(control.to_owned()))?
        .connect_timeout(timeout)
        .http2_keep_alive_interval(Duration::from_secs(10))
        .keep_alive_timeout(timeout);
    let connected = match place {
        Place::Socket(_) | Place::Clear(_) => endpoint.connect().await,
        Place::Tls(authority, host) => {
            let tls = credentials.tls(&host)?;
            let connector = tower::service_fn(move |_| {
                let (tls, authority) = (tls.clone(), authority.clone());
                async move { tls.open(authority).await.map(TokioIo::new) }
            });
            endpoint.connect_with_connector(connector).await
        }
    };
    connected.map_err(|error| {
        let (control, reason) = (control.to_owned(), root(&error));
        match help(&reason) {
            Some(help) => Error::Tls { control, reason, help },
            None => Error::Connect { control, reason },
        }
    })
}

impl Client {
    /// Connects; changes are `signed` for the audit log.
    pub(super) async fn connect(
        control: &str,
        credentials: &Credentials,
        timeout: Duration,
        signed: WithAuthor,
    ) -> Result<Client, Error> {
        let place = Place::parse(control)?;
        let token = credentials.token()?;
        if token.is_some() && place.is_readable_on_the_way() {
            return Err(Error::Credentials(format!(
                "a token is not sent to {control} in clear text: write https://"
            )));
        }
        if credentials.are_for_tls() && !matches!(place, Place::Tls(..)) {
            return Err(Error::Credentials(format!(
                "--ca, --cert, --key and --server-name are for TLS, and {control} is spoken to in clear \
                 text: write https://"
            )));
        }
        let signed = WithAuthor { token, ..signed };
        let channel = open(place, credentials, control, timeout).await?;
        Ok(Client { channel, control: control.to_owned(), timeout, signed })
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

    pub(super) async fn watch(
        &self,
        service: String,
        every: Duration,
    ) -> Result<Answers<proto::Service>, Error> {
        let interval = prost_types::Duration::try_from(every).ok();
        let mut api = self.api();
        let request = proto::WatchServiceRequest { service, interval, since_revision: None };
        let stream = self.wait(api.watch_service(request)).await?;
        Ok(Answers { control: self.control.clone(), stream })
    }

    pub(super) async fn watch_drain(
        &self,
        service: String,
        backend: String,
    ) -> Result<Answers<proto::DrainProgress>, Error> {
        let mut api = self.api();
        let request = proto::WatchDrainRequest { service, backend };
        let stream = self.wait(api.watch_drain(request)).await?;
        Ok(Answers { control: self.control.clone(), stream })
    }

    /// Asks the gateway, if that is needed, whether it knows `--dry-run`: one that does not would make the
    /// change.
    pub(super) async fn knows_dry_run(&self, needed: bool) -> Result<(), Error> {
        if !needed {
            return Ok(());
        }
        let mut api = self.api();
        match api.who_am_i(proto::WhoAmIRequest {}).await {
            Ok(answer) if answer.get_ref().dry_run => Ok(()),
            Err(status) if status.code() != Code::Unimplemented => {
                Err(refused(&self.control, &status))
            }
            Ok(_) | Err(_) => Err(Error::NoDryRun(self.control.clone())),
        }
    }

    /// The generated client; await its calls with [`Client::wait`].
    pub(super) fn api(&self) -> ControlClient<InterceptedService<Channel, WithAuthor>> {
        let signed = self.signed.clone();
        let api = ControlClient::with_interceptor(self.channel.clone(), signed);
        api.max_decoding_message_size(MAX_ANSWER)
    }

    /// Awaits a call with the timeout, and maps its error.
    pub(super) async fn wait<T>(
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

/// A stream of answers.
pub(super) struct Answers<T> {
    control: String,
    stream: Streaming<T>,
}

impl<T> Answers<T> {
    pub(super) async fn next(&mut self) -> Result<Option<T>, Error> {
        self.stream.message().await.map_err(|status| match std::error::Error::source(&status) {
            Some(broken) => Error::Lost { control: self.control.clone(), reason: root(broken) },
            None => refused(&self.control, &status),
        })
    }
}

fn refused(control: &str, status: &Status) -> Error {
    if status.metadata().contains_key(NOT_KEPT) {
        return Error::NotKept(status.message().to_owned());
    }
    // With TLS 1.3 a gateway refuses a certificate once the connection stands.
    if let Some(broken) = std::error::Error::source(status)
        && let Some(help) = help(&root(broken))
    {
        return Error::Tls { control: control.to_owned(), reason: root(broken), help };
    }
    if let Some(reason) = not_control_api(status) {
        return Error::Stranger { control: control.to_owned(), reason };
    }
    let message = match status.message() {
        "" => "the gateway gave no reason".to_owned(),
        message => message.replace("allow_empty", "--allow-empty"),
    };
    Error::Refused { code: GrpcCode::from_number(code_number(status.code())), message }
}

/// Why the status is probably not from a control API, if so.
fn not_control_api(status: &Status) -> Option<String> {
    // A status received over the wire has no source error.
    if let Some(broken) = std::error::Error::source(status) {
        return Some(format!("the connection broke ({})", root(broken)));
    }
    match status.code() {
        Code::Unimplemented => Some("it does not know this command".into()),
        Code::Unavailable => Some(status.message().into()), // e.g. a data listener without backends
        _ => None,
    }
}

fn code_number(code: Code) -> u32 {
    u32::try_from(i32::from(code)).unwrap_or_default()
}

/// The root cause of an error.
fn root(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
