//! The files that a configuration consists of: the YAML file and those it refers to.

use std::cell::RefCell;
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::model::Certificate;

/// Reads files, and keeps a digest of each.
#[derive(Debug, Default)]
pub struct Files {
    base: PathBuf,
    read: RefCell<Vec<Source>>,
    certificates: RefCell<Vec<Certificate>>,
}

/// The sources of a configuration, to detect when they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(Vec<Source>);

/// The digest of a file when it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    path: PathBuf,
    most: u64,
    digest: u64,
}

impl Files {
    /// No files yet; relative paths are resolved against `base`.
    pub fn within(base: &Path) -> Files {
        Files { base: base.to_owned(), ..Files::default() }
    }

    /// The path of the file that the configuration calls `name`.
    pub fn locate(&self, name: &str) -> PathBuf {
        self.base.join(name)
    }

    /// Reads a regular file of at most `most` bytes. An unreadable file is a source too, as it may
    /// appear later.
    pub fn read(&self, path: &Path, most: u64) -> io::Result<Vec<u8>> {
        let content = read_bounded(path, most);
        let source = Source { path: path.to_owned(), most, digest: digest(&content) };
        self.read.borrow_mut().push(source);
        content
    }

    /// Keeps the certificates found in a file.
    pub fn keep(&self, certificates: Vec<Certificate>) {
        self.certificates.borrow_mut().extend(certificates);
    }

    /// All sources, each once, and the certificates.
    pub fn finish(self) -> (Sources, Vec<Certificate>) {
        let mut sources = self.read.into_inner();
        sources.sort_unstable();
        sources.dedup();
        (Sources(sources), self.certificates.into_inner())
    }
}

impl Sources {
    /// The same files as they are now. Only the content is compared: mtime and inode are unreliable
    /// with bind mounts and with replacements of the same age.
    pub fn read_again(&self) -> Sources {
        let read = |source: &Source| {
            let digest = digest(&read_bounded(&source.path, source.most));
            Source { path: source.path.clone(), digest, ..*source }
        };
        Sources(self.0.iter().map(read).collect())
    }

    /// The paths of the files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|source| &*source.path)
    }
}

fn digest(content: &io::Result<Vec<u8>>) -> u64 {
    let mut hasher = DefaultHasher::new();
    content.as_ref().map_err(io::Error::kind).hash(&mut hasher);
    hasher.finish()
}

fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let other = |message: String| Err(io::Error::other(message));
    // Checked before opening, as opening a FIFO would block.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_know_their_content_and_not_their_age() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        write("a", "1").unwrap();
        let files = Files::within(folder.path());
        files.read(&files.locate("a"), 100).unwrap();
        files.read(&files.locate("a"), 100).unwrap();
        files.read(&files.locate("b"), 100).unwrap_err();
        let sources = files.finish().0;
        assert_eq!(sources.paths().count(), 2);
        write("a", "1").unwrap();
        assert_eq!(sources.read_again(), sources);
        write("b", "").unwrap();
        assert_ne!(sources.read_again(), sources, "one has come");
        std::fs::remove_file(folder.path().join("b")).unwrap();
        assert_eq!(sources.read_again(), sources);
        write("a", "2").unwrap();
        assert_ne!(sources.read_again(), sources);
    }
}
