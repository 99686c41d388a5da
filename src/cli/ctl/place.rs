//! Where a gateway's control API is.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::Error;
use crate::control::usual_socket::{file_name, folders, is_private, this_user};
use crate::text::address;

/// The port of the control API unless the configuration says otherwise.
const PORT: u16 = 9900;

/// Where a control API is, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At a Unix socket.
    Socket(String),
    /// Over TCP in clear text.
    Clear(String),
    /// Over TCP with TLS: host and port, and the host.
    Tls(String, String),
}

impl Place {
    /// Parses `unix:PATH`, `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`.
    pub fn parse(control: &str) -> Result<Place, Error> {
        let wrong = || Error::Address(control.to_owned());
        if let Some(path) = address::socket(control) {
            return path.map(Place::Socket).map_err(|_| wrong());
        }
        let (tls, rest) = match control.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            Some(_) => return Err(wrong()),
            None => (false, control),
        };
        let authority: http::uri::Authority =
            rest.trim_end_matches('/').parse().map_err(|_| wrong())?;
        if authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let with_port = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:{PORT}"),
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(if tls { Place::Tls(with_port, host) } else { Place::Clear(with_port) })
    }

    /// Whether what is sent there can be read on the way.
    pub fn is_readable_on_the_way(&self) -> bool {
        match self {
            Place::Socket(_) | Place::Tls(..) => false,
            Place::Clear(authority) => {
                let host = authority.rsplit_once(':').map_or(&**authority, |(host, _)| host);
                let host = host.trim_start_matches('[').trim_end_matches(']');
                let local = |ip: std::net::IpAddr| ip.is_loopback();
                !(host == "localhost" || host.parse().is_ok_and(local))
            }
        }
    }
}

/// Where a gateway of this user, or of root, listens on this machine: at its Unix socket, or else at
/// the port.
///
/// # Errors
/// There are several.
pub(super) fn usual() -> Result<String, Error> {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR");
    let found = match this_user() {
        Ok(user) => live(folders(runtime.as_deref().map(Path::new), user), user),
        Err(_) => Vec::new(), // without /proc
    };
    match &*found {
        [] => Ok(format!("http://127.0.0.1:{PORT}")),
        [one] => Ok(format!("unix:{}", one.display())),
        several => Err(Error::Several(several.iter().map(|it| it.display().to_string()).collect())),
    }
}

/// The usual sockets in these folders on which somebody listens.
fn live(folders: Vec<PathBuf>, user: u32) -> Vec<PathBuf> {
    let trusted = folders.into_iter().filter(|it| is_private(it, user).unwrap_or(false));
    let names = [file_name(Some(PORT)), file_name(None)];
    let sockets = trusted.flat_map(|folder| names.clone().map(|name| folder.join(name)));
    sockets.filter(|path| UnixStream::connect(path).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn places_are_sockets_or_ports() {
        let tls = |authority: &str, host: &str| Place::Tls(authority.into(), host.into());
        for (text, place) in [
            ("unix:/run/a.sock", Place::Socket("/run/a.sock".into())),
            ("127.0.0.1:1", Place::Clear("127.0.0.1:1".into())),
            ("http://gw:1/", Place::Clear("gw:1".into())),
            ("https://gw.example", tls("gw.example:9900", "gw.example")),
            ("https://[::1]:1", tls("[::1]:1", "::1")),
        ] {
            assert_eq!(Place::parse(text).unwrap(), place, "{text}");
        }
        for wrong in ["", "ftp://gw", "http://", "http://a b", "https://me@gw:1", "unix:"] {
            assert!(Place::parse(wrong).is_err(), "{wrong}");
        }
        for (text, readable) in [
            ("unix:/run/a.sock", false),
            ("https://gw:1", false),
            ("http://127.0.0.2:1", false),
            ("http://[::1]:1", false),
            ("localhost:1", false),
            ("http://gw:1", true),
            ("http://192.0.2.1:1", true),
        ] {
            assert_eq!(Place::parse(text).unwrap().is_readable_on_the_way(), readable, "{text}");
        }
    }

    #[test]
    fn sockets_are_found_where_somebody_listens_and_nobody_else_could() {
        let base = tempfile::tempdir().unwrap();
        let (user, folder) = (this_user().unwrap(), base.path().join("a"));
        std::fs::create_dir(&folder).unwrap();
        let open = |mode| {
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        open(0o700);
        let found = || live(vec![base.path().join("none"), folder.clone()], user);
        assert!(found().is_empty());
        let socket = UnixListener::bind(folder.join("9900.sock")).unwrap();
        assert_eq!(found(), [folder.join("9900.sock")]);
        open(0o777);
        assert!(found().is_empty(), "anybody could have put it there");
        open(0o700);
        drop(socket);
        assert!(found().is_empty(), "it was left behind");
    }
}
