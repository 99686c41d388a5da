//! Calls to one member of an etcd cluster: each has a time-out, and the token if there are users.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use super::channel::connect;
use super::proto::etcdserverpb::auth_client::AuthClient;
use super::proto::etcdserverpb::kv_client::KvClient;
use super::proto::etcdserverpb::watch_client::WatchClient;
use super::proto::etcdserverpb::watch_request::RequestUnion;
use super::proto::etcdserverpb::{
    AuthenticateRequest, RangeRequest, RangeResponse, WatchCreateRequest, WatchRequest,
};
use super::proto::mvccpb::KeyValue;
use super::watch::Watch;
use super::{EtcdEndpoint, EtcdSettings};
use crate::clock::Clock;
use crate::discovery::SourceError;
use crate::model::Time;

/// The largest answer that is read, in bytes. Ten thousand values of 500 bytes have more than the 4 MiB
/// that are usual.
const MAX_ANSWER: usize = 64 << 20;

/// Keys that are asked for at a time.
const PAGE: i64 = 1000;

/// Requests of a watch that wait to be sent: one creates it, the others ask whether it lives.
const REQUESTS: usize = 4;

/// Logging in is dear for etcd, so it is done no more often.
const LOGIN_INTERVAL: Duration = Duration::from_secs(1);

/// Connecting takes no longer: a link that is back is found within this and the longest pause.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a call failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The token is not accepted, or was made before the users changed: a new one may help.
    Token(String),
    /// The answer is larger than what is read.
    TooLarge,
    /// Anything else.
    Other(String),
}

impl Failure {
    /// What was being done, and why that failed.
    pub fn of(doing: &str, status: &Status) -> Failure {
        let said = status.message();
        if said.contains("decoded message length too large") {
            return Failure::TooLarge;
        }
        let code = status.code();
        let cause = std::error::Error::source(status);
        let cause = cause.map(|cause| SourceError::new("", cause).0).unwrap_or_default();
        let text = format!("{doing}: {code:?}: {said}{cause}");
        let stale = code == Code::InvalidArgument && said.contains("auth store is old");
        match code == Code::Unauthenticated || stale {
            true => Failure::Token(text),
            false if said.contains("user name is empty") => {
                Failure::Other(format!("{text}: set `user` and `password`"))
            }
            false => Failure::Other(text),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Token(why) | Failure::Other(why) => f.write_str(why),
            Failure::TooLarge => write!(f, "an answer has more than {MAX_ANSWER} bytes"),
        }
    }
}

/// The token, which outlives connections.
#[derive(Debug, Default)]
pub(super) struct Login {
    token: Option<MetadataValue<Ascii>>,
    /// When it may be asked for again.
    next: Time,
}

impl Login {
    /// The token is not accepted any more.
    pub fn forget(&mut self) {
        self.token = None;
    }
}

/// A full read of the keys below a prefix, page by page, as they were at one revision.
#[derive(Debug)]
pub(super) struct Reading {
    /// The cluster that answers; 0 until it has.
    pub cluster: u64,
    /// The revision; 0 until there is an answer.
    pub revision: i64,
    /// The first key of the next page; `None` at the end.
    next: Option<Vec<u8>>,
}

/// A page of keys.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub keys: Vec<KeyValue>,
    /// They are without their values, which are larger than what is read.
    pub too_large: bool,
}

/// Makes calls.
pub(super) struct Client<'a> {
    settings: &'a EtcdSettings,
    channel: Channel,
    login: &'a mut Login,
    clock: Clock,
}

impl<'a> Client<'a> {
    /// Connects to `member`, and logs in if there is a user and no token yet.
    pub async fn connect(
        settings: &'a EtcdSettings,
        member: &EtcdEndpoint,
        login: &'a mut Login,
        clock: Clock,
    ) -> Result<Client<'a>, Failure> {
        let patience = settings.timeout.min(CONNECT_TIMEOUT);
        let connecting = timeout(patience, connect(member, settings.tls.as_ref())).await;
        let channel = connecting
            .map_err(|_| Failure::Other(format!("not connected in {patience:?}")))?
            .map_err(|error| Failure::Other(error.to_string()))?;
        let mut client = Client { settings, channel, login, clock };
        if client.login.token.is_none() {
            client.log_in().await?;
        }
        Ok(client)
    }

    /// Gets a token, if there is a user.
    async fn log_in(&mut self) -> Result<(), Failure> {
        let Some(user) = &self.settings.user else { return Ok(()) };
        self.clock.sleep_until(self.login.next).await;
        self.login.next = self.clock.now() + LOGIN_INTERVAL;
        self.login.token = None;
        let (name, password) = (user.name.clone(), user.password.reveal().to_owned());
        let mut auth = AuthClient::new(self.channel.clone());
        let asking = auth.authenticate(AuthenticateRequest { name, password });
        let doing = "logging in";
        match within(self.settings.timeout, doing, asking).await {
            Ok(answer) => {
                let token = answer.token.parse::<MetadataValue<Ascii>>();
                let odd = |_| Failure::Other(format!("{doing}: the token cannot be sent"));
                let mut token = token.map_err(odd)?;
                token.set_sensitive(true);
                self.login.token = Some(token);
                Ok(())
            }
            // Then nobody needs a token.
            Err(Failure::Other(why)) if why.contains("authentication is not enabled") => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Starts a full read.
    pub fn reading(&self) -> Reading {
        Reading { cluster: 0, revision: 0, next: Some(self.settings.first_key()) }
    }

    /// The next page; `None` at the end.
    pub async fn page(&mut self, reading: &mut Reading) -> Result<Option<Page>, Failure> {
        match self.ask_for_page(reading).await {
            Err(Failure::Token(_)) if self.settings.user.is_some() => {
                self.log_in().await?;
                self.ask_for_page(reading).await
            }
            page => page,
        }
    }

    async fn ask_for_page(&self, reading: &mut Reading) -> Result<Option<Page>, Failure> {
        let Some(first) = &reading.next else { return Ok(None) };
        let (mut limit, mut keys_only) = (PAGE, false);
        let answer = loop {
            let (key, range_end) = (first.clone(), self.settings.range_end());
            let revision = reading.revision;
            match self.range(RangeRequest { key, range_end, limit, revision, keys_only }).await {
                // Fewer at a time, and at last a single one without its value.
                Err(Failure::TooLarge) if limit > 1 => limit /= 10,
                Err(Failure::TooLarge) if !keys_only => keys_only = true,
                answer => break answer?,
            }
        };
        let header = answer.header.unwrap_or_default();
        if reading.revision == 0 {
            (reading.cluster, reading.revision) = (header.cluster_id, header.revision);
        }
        let last = answer.kvs.last().filter(|_| answer.more);
        reading.next = last.map(|last| [last.key.as_slice(), &[0]].concat());
        Ok(Some(Page { keys: answer.kvs, too_large: keys_only }))
    }

    async fn range(&self, request: RangeRequest) -> Result<RangeResponse, Failure> {
        let mut kv = KvClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        let asking = kv.range(self.signed(request));
        within(self.settings.timeout, "reading", asking).await
    }

    /// Watches the keys below the prefix from `revision` on.
    pub async fn watch(&mut self, revision: i64) -> Result<Watch, Failure> {
        match self.start_watch(revision).await {
            Err(Failure::Token(_)) if self.settings.user.is_some() => {
                self.log_in().await?;
                self.start_watch(revision).await
            }
            started => started,
        }
    }

    async fn start_watch(&self, revision: i64) -> Result<Watch, Failure> {
        let create = WatchCreateRequest {
            key: self.settings.first_key(),
            range_end: self.settings.range_end(),
            start_revision: revision,
            progress_notify: true,
            fragment: true,
        };
        let create = WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
        let (requests, outgoing) = mpsc::channel(REQUESTS);
        let _ = requests.try_send(create); // it has room, and its receiver is here
        let mut request = self.signed(ReceiverStream::new(outgoing));
        // A member that has lost its cluster ends the stream.
        request.metadata_mut().insert("hasleader", MetadataValue::from_static("true"));
        let mut watch =
            WatchClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        let starting = async {
            let answers = watch.watch(request).await;
            let answers = answers.map_err(|status| Failure::of("starting to watch", &status))?;
            Watch::started(requests, answers.into_inner()).await
        };
        let late = |_| Failure::Other("starting to watch: no answer in time".into());
        timeout(self.settings.timeout, starting).await.map_err(late)?
    }

    fn signed<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.login.token {
            request.metadata_mut().insert("token", token.clone());
        }
        request
    }
}

/// Awaits a call.
async fn within<T>(
    most: Duration,
    doing: &str,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Failure> {
    match timeout(most, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(Failure::of(doing, &status)),
        Err(_) => Err(Failure::Other(format!("{doing}: no answer in {most:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_new_token_may_help_against_is_told_apart() {
        let failure = |code, message: &str| Failure::of("reading", &Status::new(code, message));
        let old = "etcdserver: revision of auth store is old";
        for (code, message) in [
            (Code::Unauthenticated, "etcdserver: invalid auth token"),
            (Code::InvalidArgument, old),
        ] {
            assert!(matches!(failure(code, message), Failure::Token(_)), "{message}");
        }
        for (code, message) in [
            (
                Code::InvalidArgument,
                "etcdserver: authentication failed, invalid user ID or password",
            ),
            (Code::PermissionDenied, "etcdserver: permission denied"),
            (Code::Unavailable, "etcdserver: no leader"),
        ] {
            let text = match failure(code, message) {
                Failure::Other(text) => text,
                other => panic!("{message}: {other:?}"),
            };
            assert!(text.contains(message) && text.starts_with("reading: "), "{text}");
        }
        let nobody = failure(Code::InvalidArgument, "etcdserver: user name is empty").to_string();
        assert!(nobody.ends_with("set `user` and `password`"), "{nobody}");
        let large = "Error, decoded message length too large: found 7 bytes, the limit is: 6 bytes";
        assert!(matches!(failure(Code::OutOfRange, large), Failure::TooLarge));
        let gone = "etcdserver: mvcc: required revision has been compacted";
        assert!(matches!(failure(Code::OutOfRange, gone), Failure::Other(_)));
    }
}
