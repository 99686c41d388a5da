//! Where the API server is, and by what it knows us. Read anew for every connection, as certificates
//! and tokens are replaced in time.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, Scheme, Uri};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::text::SecretText;

/// Where a pod finds its service account.
pub const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 4 << 20;

/// How the API server is reached.
pub struct Access {
    pub server: Server,
    /// The TLS settings, and the name that the server's certificate has to bear; `None` for clear text.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    pub bearer: Bearer,
    /// The namespace that is meant where none is given.
    pub namespace: Option<String>,
}

/// The URL of an API server.
pub struct Server {
    pub secure: bool,
    pub authority: Authority,
    /// Without brackets.
    pub host: String,
    pub port: u16,
    /// What precedes the paths of the API, if a proxy wants it.
    pub prefix: String,
}

/// The token that goes with each request.
pub enum Bearer {
    None,
    Fixed(SecretText),
    /// Read again for each request, as such tokens live for an hour or less.
    File(PathBuf),
}

impl Access {
    /// That of a pod: its service account in `folder`, the server at `host` and `port`.
    pub fn in_cluster(folder: &Path, host: &str, port: &str) -> Result<Access, String> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let server = Server::parse(&format!("https://{host}:{port}"))?;
        let ca = read(&folder.join("ca.crt"))?;
        let tls = Some((client_config(&ca, None)?, server.tls_name(None)?));
        let namespace = read(&folder.join("namespace")).ok();
        let namespace = namespace.and_then(|text| String::from_utf8(text).ok());
        let namespace =
            namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(Access { server, tls, bearer: Bearer::File(folder.join("token")), namespace })
    }
}

impl Server {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Server, String> {
        if url.contains('@') {
            return Err("the URL of the server has credentials in it, which are not used".into());
        }
        let wrong = || format!("the server `{url}` is no URL such as https://10.0.0.1:6443");
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let prefix = uri.path().trim_end_matches('/').to_owned();
        Ok(Server { secure, authority: authority.clone(), host, port, prefix })
    }

    /// The name that its certificate has to bear: `chosen`, or its host.
    pub fn tls_name(&self, chosen: Option<&str>) -> Result<ServerName<'static>, String> {
        let name = chosen.unwrap_or(&self.host);
        ServerName::try_from(name.to_owned())
            .map_err(|_| format!("`{name}` is not a name that a certificate can bear"))
    }
}

impl Bearer {
    /// The `authorization` header. Blocks.
    pub fn read(&self) -> Result<Option<HeaderValue>, String> {
        let token = match self {
            Bearer::None => return Ok(None),
            Bearer::Fixed(token) => token.clone(),
            Bearer::File(path) => String::from_utf8(read(path)?)
                .map(SecretText::new)
                .map_err(|_| format!("{} holds no token", path.display()))?,
        };
        let token = token.reveal().trim();
        let text = SecretText::new(format!("Bearer {token}"));
        let header = HeaderValue::from_str(text.reveal());
        match header {
            Ok(mut header) if !token.is_empty() => {
                header.set_sensitive(true);
                Ok(Some(header))
            }
            _ => Err(match self {
                Bearer::File(path) => format!("{} holds no token", path.display()),
                _ => "the token cannot be sent: it is empty, or has characters of no token".into(),
            }),
        }
    }
}

/// Reads a file. Blocks.
pub fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = || {
        // Checked before opening, as opening a FIFO would block.
        if !std::fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let mut content = Vec::new();
        File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut content)?;
        match content.len() as u64 > MAX_FILE {
            true => Err(io::Error::other(format!("it is larger than {MAX_FILE} bytes"))),
            false => Ok(content),
        }
    };
    read().map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// TLS towards a server that an authority of `ca` vouches for, with a certificate and key of our own if
/// there are some; all of them in PEM.
pub fn client_config(
    ca: &[u8],
    identity: Option<(&[u8], &[u8])>,
) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca, "the certificate authority")? {
        let added = roots.add(certificate);
        added.map_err(|error| format!("the certificate authority cannot be used: {error}"))?;
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = certificates(chain, "the client certificate")?;
            let key = PrivateKeyDer::from_pem_slice(key)
                .map_err(|error| format!("the client key is no private key in PEM: {error}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|error| format!("the client certificate cannot be used: {error}"))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match parsed {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(format!("{what} has no certificate in PEM")),
        Err(error) => Err(format!("{what} is not PEM: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    /// A folder as a pod has it.
    fn account() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let ca = CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap().pem();
        for (name, text) in [("ca.crt", &*ca), ("token", "abc\n"), ("namespace", "shop\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn failed(access: Result<Access, String>) -> String {
        access.err().unwrap()
    }

    #[test]
    fn a_pod_uses_its_service_account() {
        let folder = account();
        let access = Access::in_cluster(folder.path(), "10.96.0.1", "443").unwrap();
        assert_eq!((&*access.server.host, access.server.port), ("10.96.0.1", 443));
        assert_eq!(access.namespace.as_deref(), Some("shop"));
        let sent = || access.bearer.read().unwrap().unwrap();
        assert_eq!(sent(), "Bearer abc");
        assert!(sent().is_sensitive());
        std::fs::write(folder.path().join("token"), "def").unwrap();
        assert_eq!(sent(), "Bearer def", "it is read again");
        std::fs::write(folder.path().join("token"), " \n").unwrap();
        assert!(access.bearer.read().unwrap_err().contains("holds no token"));

        let six = Access::in_cluster(folder.path(), "fd00::1", "443").unwrap().server;
        assert_eq!((&*six.host, six.authority.as_str()), ("fd00::1", "[fd00::1]:443"));
        std::fs::remove_file(folder.path().join("namespace")).unwrap();
        let access = Access::in_cluster(folder.path(), "10.96.0.1", "443").unwrap();
        assert_eq!(access.namespace, None);
        std::fs::write(folder.path().join("ca.crt"), "x").unwrap();
        let error = failed(Access::in_cluster(folder.path(), "10.96.0.1", "443"));
        assert!(error.contains("no certificate"), "{error}");
        let error = failed(Access::in_cluster(Path::new("/nowhere"), "10.96.0.1", "443"));
        assert!(error.contains("/nowhere/ca.crt"), "{error}");
    }

    #[test]
    fn servers_are_urls() {
        let server = |url| Server::parse(url).map(|it| (it.secure, it.host, it.port, it.prefix));
        let of = |secure, host: &str, port, prefix: &str| {
            Ok((secure, host.to_owned(), port, prefix.to_owned()))
        };
        assert_eq!(server("https://k8s.example"), of(true, "k8s.example", 443, ""));
        assert_eq!(server("https://[::1]:6443/"), of(true, "::1", 6443, ""));
        assert_eq!(server("http://h:8001/k8s/c-1/"), of(false, "h", 8001, "/k8s/c-1"));
        for url in ["", "k8s:6443", "ftp://k8s", "https://user:secret@k8s", "https://", "/x"] {
            assert!(server(url).is_err(), "{url}");
        }
    }
}
