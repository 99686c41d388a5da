//! What the journal does to files, so that a test can have any of it fail.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// A file that is written at its end.
pub trait LogFile: Debug + Send {
    /// Writes at the end.
    ///
    /// # Errors
    /// The system's; a part may be written.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Has everything that was written survive a loss of power.
    ///
    /// # Errors
    /// The system's; what was written may be lost, even if a later call succeeds.
    fn sync(&mut self) -> io::Result<()>;

    /// Whether it is the file at `path`, and has `size` bytes: nobody has removed, replaced, cut or
    /// continued it.
    fn is_at(&self, path: &Path, size: u64) -> bool;
}

/// Held as long as the gateway uses the journal.
pub trait Lock: Debug + Send {}

/// Files and folders.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Locks a file, which is created if need be.
    ///
    /// # Errors
    /// `WouldBlock` if another process has it; otherwise the system's.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>>;

    /// Reads a file; `None` if there is none.
    ///
    /// # Errors
    /// The system's; or it has more than `most` bytes.
    fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>>;

    /// Opens a file to write at its end.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Creates a file, or empties it.
    ///
    /// # Errors
    /// The system's.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Gives a file a second name, or copies it.
    ///
    /// # Errors
    /// The system's.
    fn set_aside(&self, path: &Path, aside: &Path) -> io::Result<()>;

    /// Puts a file in the place of another.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Has the names in the folder of a file survive a loss of power.
    ///
    /// # Errors
    /// The system's.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
}

/// The system's files.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemDisk;

impl LogFile for File {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_at(&self, path: &Path, size: u64) -> bool {
        let (Ok(own), Ok(there)) = (self.metadata(), std::fs::metadata(path)) else { return false };
        (own.dev(), own.ino()) == (there.dev(), there.ino()) && own.len() == size
    }
}

impl Lock for File {}

impl Disk for SystemDisk {
    fn lock(&self, path: &Path) -> io::Result<Box<dyn Lock>> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.try_lock()?;
        Ok(Box::new(file))
    }

    fn read(&self, path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
        match std::fs::metadata(path) {
            Ok(found) if found.is_file() => {}
            Ok(_) => return Err(io::Error::other("it is not a file")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        }
        let mut content = Vec::new();
        File::open(path)?.take(most + 1).read_to_end(&mut content)?;
        if content.len() as u64 > most {
            return Err(io::Error::other(format!("it is larger than {most} bytes")));
        }
        Ok(Some(content))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(OpenOptions::new().append(true).open(path)?))
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(true).open(path)?;
        Ok(Box::new(file))
    }

    fn set_aside(&self, path: &Path, aside: &Path) -> io::Result<()> {
        // Not every file system has hard links.
        if std::fs::hard_link(path, aside).is_err() {
            std::fs::copy(path, aside)?;
            File::open(aside)?.sync_all()?;
        }
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}
