//! The files that a configuration is made of: itself, and those that it names.

use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Reads files, and remembers which: they are what a reload has to watch.
#[derive(Debug, Default)]
pub struct Files {
    base: PathBuf,
    seen: RefCell<Vec<PathBuf>>,
}

impl Files {
    /// No files yet; those with relative paths are looked for in `base`.
    pub fn within(base: &Path) -> Files {
        Files { base: base.to_owned(), ..Files::default() }
    }

    /// Where the file called `name` is. It counts as seen, whether it is there or not.
    pub fn locate(&self, name: &str) -> PathBuf {
        let path = self.base.join(name);
        self.seen.borrow_mut().push(path.clone());
        path
    }

    /// All that were looked for.
    pub fn into_paths(self) -> Vec<PathBuf> {
        self.seen.into_inner()
    }
}

/// Reads a regular file of at most `most` bytes.
pub fn read_bounded(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    let other = |message: String| Err(std::io::Error::other(message));
    // Before it is opened: to open a pipe is to wait for its other end.
    if !std::fs::metadata(path)?.is_file() {
        return other("it is not a file".into());
    }
    let mut content = Vec::new();
    File::open(path)?.take(most + 1).read_to_end(&mut content)?;
    if content.len() as u64 > most {
        return other(format!("it is larger than {most} bytes"));
    }
    Ok(content)
}
