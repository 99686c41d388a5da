//! Discovery: sources that tell which backends a service has.
//!
//! A [`Source`] follows one service in a registry and feeds whole sets of backends to a [`Feed`]. It
//! knows neither pickers nor requests. When it fails it is started again after a back-off, and what it
//! said last stays in effect: a registry that is away changes nothing but its own metrics. Sources
//! run on a thread of their own, so that slow registries delay nobody.
//!
//! **A new source is one file here and one row in [`SOURCES`]**, with its keys in the configuration.

mod backoff;
mod dns;
mod driver;
mod etcd;
mod fading;
mod feed;
mod file;
mod follower;
mod guard;
mod kubernetes;
mod names;
mod pace;
mod set;
mod status;

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use dns::DnsSettings;
pub use driver::{Discovery, Subscription};
pub use etcd::{EtcdEndpoint, EtcdSettings, EtcdTls, EtcdUser};
pub use feed::Feed;
pub use file::FileSettings;
pub use kubernetes::KubernetesSettings;
pub use names::{NameSubscriber, NameSubscription, Names};
pub use set::{Discovered, DiscoveredSet, MAX_DISCOVERED};
pub use status::SourceStatus;

/// A kind of source.
#[derive(Debug)]
pub struct SourceKind {
    /// Its key in `discover`, and the label in metrics.
    pub name: &'static str,
    /// For the docs: what it reads.
    pub summary: &'static str,
    /// Why it is marked experimental, if it is: what it was not tested against.
    pub experimental: Option<&'static str>,
}

/// All kinds of sources.
pub static SOURCES: &[SourceKind] = &[
    SourceKind { name: "file", summary: "a file that is watched", experimental: None },
    SourceKind { name: "dns", summary: "names and SRV records of DNS", experimental: None },
    SourceKind {
        name: "etcd",
        summary: "the keys below a prefix of etcd, in the forms of many frameworks",
        experimental: None,
    },
    SourceKind {
        name: "kubernetes",
        summary: "the EndpointSlices of a service in Kubernetes",
        experimental: Some(
            "it was tested against a stub of the API, not against a real API server",
        ),
    },
];

/// What a name among a service's endpoints is called where sources are told of.
pub const NAME: &str = "name";

/// How one service is discovered by one kind of source: its part of the configuration.
pub trait Settings: Debug + Send + Sync {
    /// The kind's name in [`SOURCES`].
    fn kind(&self) -> &'static str;

    /// What it reads, in a few words and without secrets, for people.
    fn place(&self) -> String;

    /// A text that differs where the settings do, secrets included; never shown.
    fn identity(&self) -> String;

    /// The source, not started yet; its randomness comes from `seed`.
    fn source(&self, seed: u64) -> Box<dyn Source>;
}

/// What a source's run resolves to.
pub type Running<'a> = Pin<Box<dyn Future<Output = SourceError> + Send + 'a>>;

/// Follows one service in a registry.
pub trait Source: Send {
    /// Feeds whole sets to `feed` until something fails. Then it is called again after a back-off, and
    /// has to read everything anew.
    fn run<'a>(&'a mut self, feed: &'a Feed) -> Running<'a>;
}

/// Why a source failed, for people.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

impl SourceError {
    /// What was being done, and the error with its causes.
    pub fn new(doing: &str, error: &dyn std::error::Error) -> SourceError {
        let mut text = format!("{doing}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        SourceError(text)
    }
}

/// `discover` of a service.
#[derive(Clone, Debug)]
pub struct Discover {
    /// The source.
    pub source: Arc<dyn Settings>,
    /// How long backends stay after a set that has none of them, or less than half.
    pub keep_empty_for: Duration,
    /// Takes such a set at its word.
    pub allow_empty: bool,
    /// How long the start of the gateway waits for the first set.
    pub initial_timeout: Duration,
}

impl Discover {
    /// Default of `keep_empty_for`.
    pub const KEEP_EMPTY_FOR: Duration = Duration::from_secs(30);

    /// Default of `initial_timeout`.
    pub const INITIAL_TIMEOUT: Duration = Duration::from_secs(5);
}

impl PartialEq for Discover {
    fn eq(&self, other: &Discover) -> bool {
        let of = |it: &Discover| {
            let source = (it.source.kind(), it.source.identity());
            (source, it.keep_empty_for, it.allow_empty, it.initial_timeout)
        };
        of(self) == of(other)
    }
}

impl Eq for Discover {}
