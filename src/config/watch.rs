//! Watches the files of a configuration for changes.

mod open_writers;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{Mutex, Notify};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Sources;
use open_writers::{CLOSING_IS_REPORTED, OpenWriters};

/// Debounce: files are read after this long without events, as files are seldom written in one go.
const DEBOUNCE: Duration = Duration::from_millis(500);

/// Maximum debounce under continuous events.
const MAX_DEBOUNCE: Duration = Duration::from_secs(5);

/// If closing of files is not reported, their content must be stable for this long.
const STABLE_FOR: Duration = Duration::from_secs(1);

/// Timeout for a writer that keeps a file open.
const WRITER_TIMEOUT: Duration = Duration::from_secs(60);

/// Polling interval, as a fallback: swapped links further up the path, mounts and most network file
/// systems cause no events.
const POLL: Duration = Duration::from_secs(10);

/// Compares files with what was read from them, on events and every `POLL`.
pub struct Watch {
    folders: Arc<Mutex<Folders>>,
    sources: Arc<Sources>,
    touched: Arc<Notify>,
    writing: Arc<Mutex<OpenWriters>>,
    poll: Duration,
}

impl Watch {
    /// Watches the sources of a configuration. If events are not available, that is logged, and
    /// polling has to do.
    pub fn new(sources: Sources) -> Watch {
        let touched = Arc::new(Notify::new());
        let writing = Arc::<Mutex<OpenWriters>>::default();
        let (notified, noted) = (Arc::clone(&touched), Arc::clone(&writing));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // After an error, events may have been lost.
            if event.as_ref().is_ok_and(|event| is_reading(event.kind)) {
                return;
            }
            noted.blocking_lock().note(event);
            notified.notify_one();
        });
        let watcher = watcher.inspect_err(|error| {
            tracing::warn!(%error, every = ?POLL, "changes of files are not reported: polling");
        });
        let folders =
            Folders { watcher: watcher.ok(), writing: Arc::clone(&writing), ..Folders::default() };
        let mut watch = Watch {
            folders: Arc::new(Mutex::new(folders)),
            sources: Arc::default(),
            touched,
            writing,
            poll: POLL,
        };
        watch.follow(sources);
        watch
    }

    /// Replaces the watched sources.
    pub fn follow(&mut self, sources: Sources) {
        self.sources = Arc::new(sources);
        // They may have changed before the watch was set.
        self.touched.notify_one();
    }

    /// Resolves when any source has changed.
    pub async fn changed(&mut self) {
        loop {
            let reported = timeout(self.poll, self.touched.notified()).await.is_ok();
            let seen = if reported { None } else { Some(self.look().await) };
            if seen.as_ref() == Some(&*self.sources) {
                continue;
            }
            let pause = if reported && CLOSING_IS_REPORTED { DEBOUNCE } else { STABLE_FOR };
            let quiet = async { while timeout(pause, self.touched.notified()).await.is_ok() {} };
            let _ = timeout(MAX_DEBOUNCE, quiet).await;
            self.written().await;
            let now = self.look().await;
            if seen.is_some_and(|seen| seen != now) {
                self.touched.notify_one(); // still being written
            } else if now != *self.sources {
                return;
            }
        }
    }

    /// Resolves when no writer has a file open any more.
    async fn written(&self) {
        let written = async {
            while !self.writing.lock().await.is_over() {
                self.touched.notified().await;
            }
        };
        if timeout(WRITER_TIMEOUT, written).await.is_err() {
            tracing::warn!(after = ?WRITER_TIMEOUT, "files that are still being written are read");
            self.writing.lock().await.forget();
        }
    }

    /// The sources as they are now, read on a blocking thread.
    async fn look(&self) -> Sources {
        let (folders, sources) = (Arc::clone(&self.folders), Arc::clone(&self.sources));
        let looking = spawn_blocking(move || {
            // Watch before reading, so that changes in between are reported.
            folders.blocking_lock().follow(&sources);
            sources.read_again()
        });
        looking.await.unwrap_or_else(|_| Sources::clone(&self.sources))
    }
}

/// The watched folders. Not files: these are often replaced by renaming, or reached by symbolic
/// links.
#[derive(Default)]
struct Folders {
    watcher: Option<RecommendedWatcher>,
    writing: Arc<Mutex<OpenWriters>>,
    watched: HashSet<PathBuf>,
    /// Folders for which a failure was logged.
    refused: HashSet<PathBuf>,
}

impl Folders {
    fn follow(&mut self, sources: &Sources) {
        let Some(watcher) = &mut self.watcher else { return };
        self.writing.blocking_lock().follow(sources.paths());
        let wanted: HashSet<PathBuf> = sources.paths().flat_map(folders).collect();
        for folder in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(folder); // fails for a folder that is gone
        }
        let mut refused = HashSet::new();
        // Watched again in any case: a folder may have been replaced by another of the same name.
        for folder in &wanted {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                refused.insert(folder.clone());
                if !self.refused.contains(folder) {
                    let folder = folder.display();
                    tracing::warn!(%folder, %error, every = ?POLL, "cannot be watched: polling");
                }
            }
        }
        (self.watched, self.refused) = (wanted, refused);
    }
}

/// The folder of the path, and the target's folder if the path is a symbolic link.
fn folders(file: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = |path: &Path| match path.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let real = std::fs::canonicalize(file).ok();
    [Some(folder(file)), real.as_deref().map(folder)].into_iter().flatten()
}

/// Whether the event is a mere read access, such as our own.
fn is_reading(kind: EventKind) -> bool {
    kind.is_access() && kind != EventKind::Access(AccessKind::Close(AccessMode::Write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Files;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    /// A watch that polls `path` every few milliseconds, without events if `deaf`.
    fn watch(path: &Path, deaf: bool) -> Watch {
        let files = Files::within(Path::new(""));
        let _ = files.read(path, 100);
        let watch = Watch { poll: Duration::from_millis(5), ..Watch::new(files.finish().0) };
        if deaf {
            watch.folders.try_lock().unwrap().watcher = None;
        }
        watch
    }

    #[tokio::test]
    async fn half_a_file_is_not_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "1").unwrap();
        symlink("file", root.path().join("link")).unwrap();
        for name in ["file", "link"] {
            let mut watch = watch(&root.path().join(name), false);
            // It is watched from the first poll on.
            timeout(Duration::from_secs(1), watch.changed()).await.unwrap_err();
            let mut writer = fs::File::create(&file).unwrap();
            writer.write_all(b"half of").unwrap();
            timeout(Duration::from_secs(3), watch.changed()).await.unwrap_err();
            writer.write_all(b" it").unwrap();
            drop(writer);
            changes(&mut watch).await;
            watch.follow(watch.look().await);
            // Replaced by renaming, while the old one is still open.
            let mut writer = fs::File::options().append(true).open(&file).unwrap();
            writer.write_all(b"no more").unwrap();
            fs::write(root.path().join("new"), "2").unwrap();
            fs::rename(root.path().join("new"), &file).unwrap();
            changes(&mut watch).await;
        }
    }

    async fn changes(watch: &mut Watch) {
        timeout(Duration::from_secs(60), watch.changed()).await.expect("a change is noticed");
    }

    #[tokio::test]
    async fn links_anywhere_in_the_path_may_be_swapped() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for release in ["r1", "r2"] {
            fs::create_dir_all(at(release).join("etc")).unwrap();
            fs::write(at(release).join("etc/file"), release).unwrap();
        }
        symlink("r1", at("one")).unwrap();
        symlink("one", at("two")).unwrap();
        symlink("two/etc/file", at("link")).unwrap();
        for path in ["two/etc/file", "link"] {
            let mut watch = watch(&at(path), false);
            for release in ["r2", "r1"] {
                symlink(release, at("new")).unwrap();
                fs::rename(at("new"), at("one")).unwrap();
                changes(&mut watch).await;
                watch.follow(watch.look().await);
            }
        }
    }

    #[tokio::test]
    async fn a_folder_may_be_removed_and_recreated() {
        let root = tempfile::tempdir().unwrap();
        let (folder, away) = (root.path().join("etc"), root.path().join("away"));
        let file = folder.join("file");
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "1").unwrap();
        let mut watch = watch(&file, false);
        fs::rename(&folder, &away).unwrap();
        changes(&mut watch).await;
        watch.follow(watch.look().await);
        fs::create_dir(&folder).unwrap();
        fs::write(&file, "2").unwrap();
        changes(&mut watch).await;
    }

    #[tokio::test]
    async fn where_nothing_is_reported_it_is_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("file");
        fs::write(&file, "1").unwrap();
        let mut watch = watch(&file, true);
        // Same length and mtime.
        let age = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "2").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(age).unwrap();
        changes(&mut watch).await;
    }
}
