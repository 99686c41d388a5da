//! Tracks files that have open writers, whose content may be incomplete.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use notify::Event;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind};

/// Whether the platform reports when a writable file is closed.
pub const CLOSING_IS_REPORTED: bool = cfg!(target_os = "linux");

/// Files that were written to and not closed since, by file name.
#[derive(Debug, Default)]
pub struct OpenWriters {
    watched: HashSet<OsString>,
    open: HashSet<OsString>,
}

impl OpenWriters {
    /// Tracks these files and the targets of their links from now on.
    pub fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let real = |file: &Path| std::fs::canonicalize(file).ok()?.file_name().map(OsStr::to_owned);
        let names = |file: &Path| [file.file_name().map(OsStr::to_owned), real(file)];
        self.watched = files.flat_map(names).flatten().collect();
        self.open.retain(|name| self.watched.contains(name));
    }

    /// Processes an event; on an error, events may have been lost.
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

    /// Forgets all writers.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// Whether there are no writers.
    pub fn is_over(&self) -> bool {
        self.open.is_empty()
    }
}
