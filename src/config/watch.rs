//! Says when the files of a configuration have changed.

mod writing;

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
use writing::{CLOSING_IS_REPORTED, Writing};

/// Files are looked at when nothing has happened to them for that long: who writes one seldom
/// does so in one go.
const QUIET: Duration = Duration::from_millis(500);

/// And when something happens all the time, this often.
const RESTLESS: Duration = Duration::from_secs(5);

/// And when nothing tells who writes them, they have to stay the same for that long.
const STEADY: Duration = Duration::from_secs(1);

/// Who keeps a file open to write to it, and does not, is waited for that long.
const UNFINISHED: Duration = Duration::from_secs(60);

/// They are also looked at this often though nothing is reported: of links swapped further up the
/// path, of mounts, and of most file systems of other machines the system reports nothing.
const POLL: Duration = Duration::from_secs(10);

/// Compares files with what was read from them: when the system reports a change, and every
/// `POLL`.
pub struct Watch {
    folders: Arc<Mutex<Folders>>,
    sources: Arc<Sources>,
    touched: Arc<Notify>,
    writing: Arc<Mutex<Writing>>,
    poll: Duration,
}

impl Watch {
    /// A watch over what a configuration was read from. Where the system reports nothing, that is
    /// logged, and looking every `POLL` has to do.
    pub fn new(sources: Sources) -> Watch {
        let touched = Arc::new(Notify::new());
        let writing = Arc::<Mutex<Writing>>::default();
        let (notified, noted) = (Arc::clone(&touched), Arc::clone(&writing));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // After an error nobody knows what has happened.
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

    /// Watches what the configuration was read from last, in place of what it was before.
    pub fn follow(&mut self, sources: Sources) {
        self.sources = Arc::new(sources);
        // Something may have happened before it was watched.
        self.touched.notify_one();
    }

    /// Ends when the files no longer hold what was read from them.
    pub async fn changed(&mut self) {
        loop {
            let reported = timeout(self.poll, self.touched.notified()).await.is_ok();
            let seen = if reported { None } else { Some(self.look().await) };
            if seen.as_ref() == Some(&*self.sources) {
                continue;
            }
            let pause = if reported && CLOSING_IS_REPORTED { QUIET } else { STEADY };
            let quiet = async { while timeout(pause, self.touched.notified()).await.is_ok() {} };
            let _ = timeout(RESTLESS, quiet).await;
            self.written().await;
            let now = self.look().await;
            if seen.is_some_and(|seen| seen != now) {
                self.touched.notify_one(); // somebody is writing
            } else if now != *self.sources {
                return;
            }
        }
    }

    /// Ends when nobody has a file open any more who has written to it.
    async fn written(&self) {
        let written = async {
            while !self.writing.lock().await.is_over() {
                self.touched.notified().await;
            }
        };
        if timeout(UNFINISHED, written).await.is_err() {
            tracing::warn!(after = ?UNFINISHED, "files that are still being written are read");
            self.writing.lock().await.forget();
        }
    }

    /// The files as they are now. Reading them may take its time, so others do it.
    async fn look(&self) -> Sources {
        let (folders, sources) = (Arc::clone(&self.folders), Arc::clone(&self.sources));
        let looking = spawn_blocking(move || {
            // In this order, so that what happens in between is reported.
            folders.blocking_lock().follow(&sources);
            sources.read_again()
        });
        looking.await.unwrap_or_else(|_| Sources::clone(&self.sources))
    }
}

/// Folders whose changes are reported. Not files: one is often replaced by another of its name, or
/// reached by a symbolic link that is.
#[derive(Default)]
struct Folders {
    watcher: Option<RecommendedWatcher>,
    writing: Arc<Mutex<Writing>>,
    watched: HashSet<PathBuf>,
    /// Those of which it was said that they cannot be watched.
    refused: HashSet<PathBuf>,
}

impl Folders {
    fn follow(&mut self, sources: &Sources) {
        let Some(watcher) = &mut self.watcher else { return };
        self.writing.blocking_lock().follow(sources.paths());
        let wanted: HashSet<PathBuf> = sources.paths().flat_map(folders).collect();
        for folder in self.watched.difference(&wanted) {
            let _ = watcher.unwatch(folder); // one that is gone is not watched anyhow
        }
        let mut refused = HashSet::new();
        // Those that were watched too: they may have been replaced by others of their name.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::files::Files;
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    /// A watch over `path` that looks at it every few milliseconds, and hears of nothing if
    /// `deaf`.
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
            // It is watched from the first look on.
            timeout(Duration::from_secs(1), watch.changed()).await.unwrap_err();
            let mut writer = fs::File::create(&file).unwrap();
            writer.write_all(b"half of").unwrap();
            timeout(Duration::from_secs(3), watch.changed()).await.unwrap_err();
            writer.write_all(b" it").unwrap();
            drop(writer);
            changes(&mut watch).await;
            watch.follow(watch.look().await);
            // Replaced as a whole, whatever becomes of the one before.
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
    async fn a_folder_may_be_away_and_come_back() {
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
        // Of the same length and age.
        let age = fs::metadata(&file).unwrap().modified().unwrap();
        fs::write(&file, "2").unwrap();
        fs::File::options().write(true).open(&file).unwrap().set_modified(age).unwrap();
        changes(&mut watch).await;
    }
}
