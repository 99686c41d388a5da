//! Backends from Kubernetes: the EndpointSlices of a service, by list and watch.
//!
//! A watch is never resumed: when it ends, after 5 to 10 min, or breaks, everything is listed again, so
//! that nothing lost stays lost, and no version of the server's has to be remembered.

mod access;
mod api;
mod kubeconfig;
mod lines;
mod list;
mod path;
mod slice;
mod union;
mod watch;
mod wire;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::backoff::Backoff;
use super::{Feed, Running, Settings, Source, SourceError};
use access::{Access, SERVICE_ACCOUNT};
use api::{Api, Trouble};
use slice::Slice;
use union::Slices;

/// A watch that lasted as long was a success; after a shorter one there is a pause before the next list.
const STEADY: Duration = Duration::from_secs(10);

/// The namespace where nothing says which.
const DEFAULT_NAMESPACE: &str = "default";

/// Settings of a service in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesSettings {
    /// The name of the service.
    pub service: Box<str>,
    /// Its namespace; without it the gateway's own, or that of the kubeconfig's context.
    pub namespace: Option<Box<str>>,
    /// The name or number of the port; without it the service has one only.
    pub port: Option<Box<str>>,
    /// The kubeconfig file; without it the gateway is a pod of the cluster.
    pub kubeconfig: Option<PathBuf>,
    /// The context in it; without it the current one.
    pub context: Option<Box<str>>,
}

impl Settings for KubernetesSettings {
    fn kind(&self) -> &'static str {
        "kubernetes"
    }

    fn place(&self) -> String {
        let namespace = self.namespace.as_deref().map(|it| format!("{it}/")).unwrap_or_default();
        let port = self.port.as_deref().map(|it| format!(":{it}")).unwrap_or_default();
        format!("{namespace}{}{port}", self.service)
    }

    fn identity(&self) -> String {
        format!("{self:?}")
    }

    fn source(&self, seed: u64) -> Box<dyn Source> {
        Box::new(EndpointSlices {
            settings: self.clone(),
            rng: fastrand::Rng::with_seed(seed),
            slices: Slices::default(),
            has_bookmarks: false,
            hurried: false,
            pauses: Backoff::default(),
        })
    }
}

impl KubernetesSettings {
    /// How the API server is reached. Blocks.
    fn access(&self) -> Result<Access, String> {
        if let Some(path) = &self.kubeconfig {
            return kubeconfig::access(path, self.context.as_deref());
        }
        let of = |name: &str| {
            std::env::var(name)
                .map_err(|_| format!("{name} is not set, so that this is no pod: set `kubeconfig`"))
        };
        let (host, port) = (of("KUBERNETES_SERVICE_HOST")?, of("KUBERNETES_SERVICE_PORT")?);
        Access::in_cluster(Path::new(SERVICE_ACCOUNT), &host, &port)
    }
}

/// Follows the slices of one service.
struct EndpointSlices {
    settings: KubernetesSettings,
    rng: fastrand::Rng,
    slices: Slices,
    /// Whether the server sends bookmarks.
    has_bookmarks: bool,
    /// Whether the last watch has ended soon.
    hurried: bool,
    pauses: Backoff,
}

impl Source for EndpointSlices {
    fn run<'a>(&'a mut self, feed: &'a Feed) -> Running<'a> {
        Box::pin(async move {
            loop {
                if let Err(error) = self.list_and_watch(feed).await {
                    return error;
                }
            }
        })
    }
}

impl EndpointSlices {
    /// Lists everything, then follows the changes until the watch ends.
    async fn list_and_watch(&mut self, feed: &Feed) -> Result<(), SourceError> {
        // The list succeeds where the watch does not, so that the back-off after failures begins anew
        // each time.
        if std::mem::take(&mut self.hurried) {
            sleep(self.pauses.next(false, self.rng.f64())).await;
        }
        let mut api = Api::new(self.access().await?);
        let namespace = self.settings.namespace.as_deref().or(api.namespace());
        let namespace = namespace.unwrap_or(DEFAULT_NAMESPACE).to_owned();
        let version = self.list(&mut api, &namespace, feed).await?;
        feed.publish(self.slices.backends()).await;
        let begun = feed.clock().now();
        let ended = self.watch(&mut api, &namespace, &version, feed).await;
        self.hurried = feed.clock().now().since(begun) < STEADY;
        if !self.hurried {
            self.pauses.reset();
        }
        match ended {
            Err(Trouble::Failed(error)) => Err(error),
            Ok(()) | Err(Trouble::Gone) => Ok(()),
        }
    }

    async fn access(&self) -> Result<Access, SourceError> {
        let settings = self.settings.clone();
        match spawn_blocking(move || settings.access()).await {
            Ok(access) => access.map_err(SourceError),
            Err(error) => Err(SourceError::new("reading how to reach the API server", &error)),
        }
    }
}

/// Adds or replaces a slice, and tells what cannot be used of it.
async fn put(slices: &mut Slices, slice: Slice, feed: &Feed) {
    for (key, reason) in &slice.rejected {
        feed.reject(key, reason).await;
    }
    if let Err(reason) = slices.put(&slice.name, slice.members) {
        feed.reject(&format!("EndpointSlice {}", slice.name), &reason).await;
    }
}
