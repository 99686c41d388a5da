//! Which of the watched files somebody is writing to: they may be half of what they are to be.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

/// Whether the system reports that a file was closed by one who could write to it.
pub const CLOSING_IS_REPORTED: bool = cfg!(target_os = "linux");

/// Files that were written to, and not closed since. They go by the last part of their names.
#[derive(Debug, Default)]
pub struct Writing {
    watched: HashSet<OsString>,
    open: HashSet<OsString>,
}

impl Writing {
    /// Minds these files from now on, and what they are links to.
    pub fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let real = |file: &Path| std::fs::canonicalize(file).ok()?.file_name().map(OsStr::to_owned);
        let names = |file: &Path| [file.file_name().map(OsStr::to_owned), real(file)];
        self.watched = files.flat_map(names).flatten().collect();
        self.open.retain(|name| self.watched.contains(name));
    }

    /// Takes note of what was reported; of an error, that some reports may be lost.
    pub fn note(&mut self, event: notify::Result<Event>) {
        let Some(event) = event.ok().filter(|event| !event.need_rescan()) else {
            return self.forget();
        };
        let names = event.paths.iter().filter_map(|path| path.file_name());
        match event.kind {
            EventKind::Modify(ModifyKind::Data(_)) if CLOSING_IS_REPORTED => {
                let minded = names.filter(|name| self.watched.contains(*name));
                self.open.extend(minded.map(OsStr::to_owned));
            }
            EventKind::Access(AccessKind::Close(AccessMode::Write))
            | EventKind::Modify(ModifyKind::Name(_))
            | EventKind::Remove(_) => names.for_each(|name| {
                self.open.remove(name);
            }),
            _ => {}
        }
    }

    /// Takes all of them to be written.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// Whether none is being written to.
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }
}
