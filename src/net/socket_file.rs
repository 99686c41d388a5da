//! The file of a Unix domain socket that this process listens on.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixSocket;

/// RAII guard of a Unix socket's file; dropping it removes the file.
#[derive(Debug)]
pub struct SocketFile {
    path: Arc<str>,
    id: Id,
    /// The default permissions, by the process' umask.
    default_mode: u32,
}

/// Device and inode, which identify the file as long as the socket is open.
type Id = (u64, u64);

impl SocketFile {
    /// Binds a socket to `path` with the permissions `mode`, replacing a stale socket file. It does
    /// not listen yet.
    ///
    /// # Errors
    /// Says why it cannot be, and what to do.
    pub(super) fn bind(path: &Arc<str>, mode: Option<u32>) -> io::Result<(SocketFile, UnixSocket)> {
        remove_stale(Path::new(&**path))?;
        let socket = UnixSocket::new_stream()?;
        socket.bind(&**path).map_err(|error| explained(error, path))?;
        let made = fs::symlink_metadata(&**path)?;
        let file =
            SocketFile { path: Arc::clone(path), id: id(&made), default_mode: made.mode() & 0o777 };
        if mode.is_some() {
            file.admit(mode)?;
        }
        Ok((file, socket))
    }

    /// Sets the permissions `mode`, or those of the umask.
    ///
    /// # Errors
    /// The file is gone, or the system refuses.
    pub fn admit(&self, mode: Option<u32>) -> io::Result<()> {
        if !self.is_at(&self.path) {
            return Err(gone());
        }
        fs::set_permissions(&*self.path, Permissions::from_mode(mode.unwrap_or(self.default_mode)))
    }

    /// Whether `path` names this file, however it is spelt.
    pub fn is_at(&self, path: &str) -> bool {
        fs::symlink_metadata(path).is_ok_and(|found| id(&found) == self.id)
    }

    /// Fails if the file was removed or replaced.
    pub(super) fn check_unchanged(&self) -> io::Result<()> {
        if self.is_at(&self.path) { Ok(()) } else { Err(gone()) }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.is_at(&self.path)
            && let Err(error) = fs::remove_file(&*self.path)
        {
            tracing::warn!(path = &*self.path, %error, "a socket is left behind");
        }
    }
}

fn id(file: &fs::Metadata) -> Id {
    (file.dev(), file.ino())
}

fn gone() -> io::Error {
    io::Error::new(ErrorKind::AddrInUse, "somebody else has removed the socket or taken its place")
}

/// Removes a stale socket file, on which nobody listens.
fn remove_stale(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let message = "what is there is no socket: remove it, or choose another path";
        return Err(io::Error::new(ErrorKind::AlreadyExists, message));
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?; // a full backlog also means that somebody listens
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            let message = "a socket is there, and this user may not ask whether anybody listens on \
                           it: remove it if nobody does, or choose another path";
            Err(io::Error::new(error.kind(), message))
        }
        _ => {
            let message = "another process listens there: end it first, for a Unix socket is not \
                           handed over, or choose another path";
            Err(io::Error::new(ErrorKind::AddrInUse, message))
        }
    }
}

fn explained(error: io::Error, path: &str) -> io::Error {
    let folder = Path::new(path).parent().unwrap_or(Path::new("/")).display();
    let message = match error.kind() {
        ErrorKind::NotFound => format!("there is no folder {folder}: make it first"),
        ErrorKind::PermissionDenied => {
            format!("this user may make no file in {folder}: {error}")
        }
        _ => return error,
    };
    io::Error::new(error.kind(), message)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn bind(path: &Path, mode: Option<u32>) -> io::Result<(SocketFile, UnixSocket)> {
        SocketFile::bind(&path.to_str().unwrap().into(), mode)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_in_the_way_is_removed_only_if_it_was_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        drop(UnixListener::bind(&path).unwrap());
        let (file, _socket) = bind(&path, None).unwrap();
        assert!(file.is_at(path.to_str().unwrap()));
        drop(file);
        assert!(!path.exists(), "it is removed at the end");

        let live = UnixListener::bind(&path).unwrap();
        let error = bind(&path, None).unwrap_err().to_string();
        assert!(error.contains("another process listens there"), "{error}");
        assert!(path.exists());
        drop(live);
        fs::remove_file(&path).unwrap();

        for make in [
            (|path: &Path| fs::write(path, "mine").unwrap()) as fn(&Path),
            |path| fs::create_dir(path).unwrap(),
            |path| std::os::unix::fs::symlink("nowhere", path).unwrap(),
        ] {
            let path = folder.path().join("other");
            make(&path);
            let error = bind(&path, None).unwrap_err().to_string();
            assert!(error.contains("no socket: remove it"), "{error}");
            assert!(fs::symlink_metadata(&path).is_ok());
            let _ = fs::remove_file(&path).or_else(|_| fs::remove_dir(&path));
        }
        let error = bind(&folder.path().join("no/a.sock"), None).unwrap_err().to_string();
        assert!(error.contains("there is no folder") && error.contains("/no:"), "{error}");
    }

    #[test]
    fn a_queue_that_is_full_is_no_socket_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let busy = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        busy.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        busy.listen(0).unwrap();
        let _waiting = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let error = bind(&path, None).unwrap_err().to_string();
        assert!(error.contains("another process listens there"), "{error}");
    }

    #[test]
    fn what_has_taken_its_place_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (file, _socket) = bind(&path, None).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(file.check_unchanged().is_err() && file.admit(Some(0o600)).is_err());
        fs::write(&path, "mine").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"mine");
    }

    #[test]
    fn its_mode_is_what_is_asked_for_whatever_the_umask() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let (file, _socket) = bind(&path, None).unwrap();
        let default_mode = mode(&path);
        for wanted in [0o777, 0o600, 0o660] {
            file.admit(Some(wanted)).unwrap();
            assert_eq!(mode(&path), wanted);
        }
        file.admit(None).unwrap();
        assert_eq!(mode(&path), default_mode);
        drop(file);
        let (_file, _socket) = bind(&path, Some(0o666)).unwrap();
        assert_eq!(mode(&path), 0o666);
    }

    #[test]
    fn it_is_known_through_links_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink("real", at("link")).unwrap();
        let (file, _socket) = bind(&at("real/a.sock"), None).unwrap();
        assert!(file.is_at(at("link/a.sock").to_str().unwrap()));
        assert!(file.is_at(at("link/../real/a.sock").to_str().unwrap()));
        assert!(!file.is_at(at("real/b.sock").to_str().unwrap()));
    }
}
