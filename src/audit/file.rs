//! The file of the audit, which others may rename, remove or cut at any time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::entry::Entry;

/// What is read of the end of a file at the start: changes without a result are there.
const MAX_TAIL: u64 = 16 << 20;

/// Why the audit cannot be begun.
#[derive(Debug, thiserror::Error)]
#[error("the audit {} cannot be written: {source}", path.display())]
pub struct AuditError {
    path: PathBuf,
    source: io::Error,
}

/// The file.
#[derive(Debug)]
pub(super) struct AuditFile {
    path: PathBuf,
    /// `None` after a failure, until it is opened again.
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// Device and inode.
    id: (u64, u64),
    /// Bytes that it has at least.
    size: u64,
}

fn id(found: &fs::Metadata) -> (u64, u64) {
    (found.dev(), found.ino())
}

impl AuditFile {
    /// Opens the file, or begins it. Blocks.
    pub fn open(path: &Path) -> Result<AuditFile, AuditError> {
        let mut file = AuditFile { path: path.to_owned(), open: None };
        match file.reopen() {
            Ok(_) => Ok(file),
            Err(source) => Err(file.error(source)),
        }
    }

    /// Why it cannot be begun.
    pub fn error(&self, source: io::Error) -> AuditError {
        AuditError { path: self.path.clone(), source }
    }

    /// The last lines, the first of which may lack its begin. Blocks.
    pub fn tail(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        if let Some(OpenFile { file, size, .. }) = &mut self.open {
            file.seek(SeekFrom::Start(size.saturating_sub(MAX_TAIL)))?;
            file.take(MAX_TAIL).read_to_end(&mut content)?;
        }
        Ok(content)
    }

    /// Appends whole lines, and has them on the disk if `sync`. Where that fails none of them is left
    /// in the file, as far as the system allows it. Blocks.
    pub fn append(&mut self, lines: &str, sync: bool) -> io::Result<()> {
        let opened = self.follow()?;
        let open = match &mut self.open {
            Some(open) => open,
            None => self.reopen()?,
        };
        let lines = match opened {
            Some(why) => Entry::opened(why).line() + lines,
            None => lines.to_owned(),
        };
        let written = open.file.write_all(lines.as_bytes());
        let written = written.and_then(|()| if sync { open.file.sync_data() } else { Ok(()) });
        match &written {
            Ok(()) => open.size += lines.len() as u64,
            Err(_) => {
                // Where this fails too a line may be torn: the next one begins after a line end.
                let _ = open.file.set_len(open.size);
                self.open = None;
            }
        }
        written
    }

    /// Notices that the file is another one now, or was cut; says which, if so.
    fn follow(&mut self) -> io::Result<Option<&'static str>> {
        let Some(open) = &mut self.open else { return Ok(None) };
        match fs::metadata(&self.path) {
            Ok(there) if id(&there) == open.id => {
                // Others may have added lines: theirs are not taken away by a failure of ours.
                let cut = there.len() < open.size;
                open.size = there.len();
                return Ok(cut.then_some("the file was cut"));
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        self.open = None;
        Ok(Some("the file before was renamed or removed"))
    }

    /// Opens what is at the path now; a line that was torn is ended.
    fn reopen(&mut self) -> io::Result<&mut OpenFile> {
        match fs::metadata(&self.path) {
            // Opening a FIFO would block.
            Ok(found) if !found.is_file() => return Err(io::Error::other("it is not a file")),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&self.path)?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => {
                io::Error::other("another gateway writes it: give each its own `audit.path`")
            }
            TryLockError::Error(error) => error,
        })?;
        let found = file.metadata()?;
        let mut size = found.len();
        if found.mode() & 0o022 != 0 {
            let path = self.path.display();
            tracing::warn!(%path, "the audit can be written by others: `chmod 600` it");
        }
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != [b'\n'] {
                file.write_all(b"\n")?;
                size += 1;
            }
        } else if let Some(folder) = self.path.parent() {
            // So that the name outlives a loss of power too.
            let here = folder.as_os_str().is_empty();
            File::open(if here { Path::new(".") } else { folder })?.sync_all()?;
        }
        Ok(self.open.insert(OpenFile { file, id: id(&found), size }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines, but for those that tell of the file itself.
    fn lines(path: &Path) -> String {
        let text = fs::read_to_string(path).unwrap();
        let own = text.lines().filter(|line| !line.contains("\"opened\""));
        own.map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn lines_are_appended_whatever_others_do_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.jsonl"), folder.path().join("audit.1"));
        fs::write(&path, "{\"torn").unwrap();
        let mut file = AuditFile::open(&path).unwrap();
        file.append("a\n", true).unwrap();
        file.append("b\n", false).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"torn\na\nb\n");
        let locked = AuditFile::open(&path).unwrap_err().to_string();
        assert!(locked.contains("another gateway writes it"), "{locked}");
        fs::rename(&path, &old).unwrap();
        file.append("c\n", true).unwrap();
        assert_eq!((lines(&path), lines(&old)), ("c\n".into(), "{\"torn\na\nb\n".into()));
        assert!(fs::read_to_string(&path).unwrap().contains("renamed or removed"));
        fs::remove_file(&path).unwrap();
        file.append("d\n", true).unwrap();
        assert_eq!(lines(&path), "d\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        // As logrotate does with `copytruncate`.
        OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
        file.append("e\n", true).unwrap();
        assert_eq!(lines(&path), "e\n");
        assert!(fs::read_to_string(&path).unwrap().contains("was cut"));
        assert!(file.tail().unwrap().ends_with(b"e\n"));
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(file.append("f\n", true).unwrap_err().to_string().contains("not a file"));
        fs::remove_dir(&path).unwrap();
        file.append("g\n", true).unwrap();
        assert_eq!(lines(&path), "g\n");
        assert!(AuditFile::open(folder.path()).unwrap_err().to_string().contains("not a file"));
    }

    #[test]
    fn nothing_is_left_of_lines_that_could_not_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let mut file = AuditFile::open(&path).unwrap();
        file.append("a\n", true).unwrap();
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let whole = std::mem::replace(&mut file.open.as_mut().unwrap().file, full);
        file.append("b\n", true).unwrap_err();
        drop(whole);
        file.append("c\n", true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nc\n");
    }
}
