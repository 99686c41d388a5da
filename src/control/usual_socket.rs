//! Where the Unix socket of the control API is unless the configuration says otherwise: in a folder
//! that the user alone can write to, under the port of the API, so that several gateways on one
//! machine do not meet and `ctl` finds each.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// Permission for others than the owner to put files into a folder.
const OTHERS_WRITE: u32 = 0o022;

/// The folders in which it may be, the best first. `runtime` is $XDG_RUNTIME_DIR.
pub fn folders(runtime: Option<&Path>, user: u32) -> Vec<PathBuf> {
    let runtime = runtime.filter(|folder| folder.is_absolute()).map(|it| it.join("equipoise"));
    let session = PathBuf::from(format!("/run/user/{user}/equipoise"));
    let others = [session, "/run/equipoise".into(), format!("/tmp/equipoise-{user}").into()];
    let mut folders: Vec<PathBuf> = runtime.into_iter().chain(others).collect();
    folders.dedup();
    folders
}

/// Its name, by the port of the control API over TCP, if there is one.
pub fn file_name(port: Option<u16>) -> String {
    port.map_or("control.sock".into(), |port| format!("{port}.sock"))
}

/// The user that this process runs as.
///
/// # Errors
/// There is no `/proc`.
pub fn this_user() -> io::Result<u32> {
    fs::metadata("/proc/self").map(|process| process.uid())
}

/// Whether nobody but `user` and root could have put something into this folder.
///
/// # Errors
/// It is not there, or is none.
pub fn is_private(folder: &Path, user: u32) -> io::Result<bool> {
    let found = fs::symlink_metadata(folder)?;
    let own = found.uid() == user || found.uid() == 0;
    Ok(found.is_dir() && own && found.mode() & OTHERS_WRITE == 0)
}

/// The first of `folders` that is there, or can be made, for this user alone.
///
/// # Errors
/// There is none.
pub fn private_folder(folders: Vec<PathBuf>, user: u32) -> io::Result<PathBuf> {
    let mut last = io::Error::from(ErrorKind::NotFound);
    for folder in folders {
        match DirBuilder::new().mode(0o700).create(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let own = fs::symlink_metadata(&folder).is_ok_and(|found| found.uid() == user);
                match is_private(&folder, user) {
                    Ok(true) if own => return Ok(folder),
                    _ => last = io::Error::other(format!("{} is not ours", folder.display())),
                }
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_folder_is_for_this_user_alone() {
        let base = tempfile::tempdir().unwrap();
        let user = this_user().unwrap();
        let at = |name: &str| base.path().join(name);
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        let made = private_folder(vec![at("no/way"), at("a")], user).unwrap();
        assert_eq!((&made, mode(&made)), (&at("a"), 0o700));
        assert_eq!(private_folder(vec![at("a"), at("b")], user).unwrap(), at("a"));
        // Where others may write, they could have put a socket of their own.
        fs::set_permissions(at("a"), fs::Permissions::from_mode(0o777)).unwrap();
        assert!(!is_private(&at("a"), user).unwrap());
        std::os::unix::fs::symlink(at("b"), at("link")).unwrap();
        assert_eq!(private_folder(vec![at("a"), at("link"), at("b")], user).unwrap(), at("b"));
        assert!(private_folder(vec![at("b")], user + 1).is_err());
        assert!(private_folder(vec![at("no/way")], user).is_err());
    }

    #[test]
    fn each_port_has_its_socket() {
        let found = folders(Some(Path::new("/run/user/7")), 7);
        let expected = ["/run/user/7/equipoise", "/run/equipoise", "/tmp/equipoise-7"];
        assert_eq!(found, expected.map(PathBuf::from));
        assert_eq!(folders(Some(Path::new("relative")), 7), found);
        assert_eq!(folders(Some(Path::new("/x")), 7)[0], Path::new("/x/equipoise"));
        assert_eq!(
            (file_name(Some(9900)), file_name(None)),
            ("9900.sock".into(), "control.sock".into())
        );
    }
}
