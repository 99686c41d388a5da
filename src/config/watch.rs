//! Says when the files of a configuration have changed.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Sources;

/// Files are looked at when nothing has happened to them for that long: who writes one seldom
/// does so in one go.
const QUIET: Duration = Duration::from_millis(500);

/// And when something happens all the time, this often.
const RESTLESS: Duration = Duration::from_secs(5);

/// Watches folders rather than files: a file is often replaced by another of its name, or
/// reached by a symbolic link that is.
pub struct Watch {
    watcher: RecommendedWatcher,
    folders: HashSet<PathBuf>,
    sources: Arc<Sources>,
    touched: Arc<Notify>,
}

impl Watch {
    /// A watch over nothing yet.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn new() -> notify::Result<Watch> {
        let touched = Arc::new(Notify::new());
        let notified = Arc::clone(&touched);
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // After an error nobody knows what has happened.
            if event.is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            notified.notify_one();
        })?;
        Ok(Watch { watcher, folders: HashSet::new(), sources: Arc::default(), touched })
    }

    /// Watches what the configuration was read from last, in place of what it was before.
    pub fn follow(&mut self, sources: Sources) {
        let wanted: HashSet<PathBuf> = sources.paths().flat_map(folders).collect();
        for folder in self.folders.difference(&wanted) {
            let _ = self.watcher.unwatch(folder); // one that is gone is not watched anyhow
        }
        // Those that were watched too: they may have been replaced by others of their name.
        for folder in &wanted {
            if let Err(error) = self.watcher.watch(folder, RecursiveMode::NonRecursive) {
                let folder = folder.display();
                tracing::warn!(%folder, %error, "cannot watch for changes: use SIGHUP");
            }
        }
        self.folders = wanted;
        self.sources = Arc::new(sources);
        // Something may have happened before it was watched.
        self.touched.notify_one();
    }

    /// Ends when the files no longer hold what was read from them.
    pub async fn changed(&mut self) {
        loop {
            self.touched.notified().await;
            let quiet = async { while timeout(QUIET, self.touched.notified()).await.is_ok() {} };
            let _ = timeout(RESTLESS, quiet).await;
            let sources = Arc::clone(&self.sources);
            if spawn_blocking(move || sources.have_changed()).await.unwrap_or(false) {
                return;
            }
        }
    }
}

/// The folder of the file's name, and that of the file itself if the name is a link.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let real = std::fs::canonicalize(file).ok();
    [Some(folder(file)), real.as_deref().map(folder)].into_iter().flatten()
}

/// Whether the event is somebody's reading, such as our own.
fn is_reading(kind: EventKind) -> bool {
    kind.is_access() && kind != EventKind::Access(AccessKind::Close(AccessMode::Write))
}
