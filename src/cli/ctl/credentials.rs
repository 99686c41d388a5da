//! What one proves to a gateway who one is with, and believes a gateway by: files that are named on the
//! command line or by a context.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Error;
use crate::access::MAX_TOKEN;
use crate::text::SecretText;

/// Maximum size of a PEM file.
const MAX_PEM: u64 = 4 << 20;

/// The files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub token_file: Option<PathBuf>,
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub server_name: Option<String>,
}

/// How TLS is made.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

fn wrong(message: String) -> Error {
    Error::Credentials(message)
}

fn read(path: &Path, what: &str) -> Result<Vec<u8>, Error> {
    let unreadable =
        |error: io::Error| wrong(format!("cannot read {what} {}: {error}", path.display()));
    let found = fs::metadata(path).map_err(unreadable)?;
    if !found.is_file() || found.len() > MAX_PEM {
        return Err(wrong(format!("{what} {} is no file of up to 4 MiB", path.display())));
    }
    fs::read(path).map_err(unreadable)
}

impl Credentials {
    /// These, and those of `other` where there are none.
    pub fn or(self, other: Credentials) -> Credentials {
        Credentials {
            token_file: self.token_file.or(other.token_file),
            ca: self.ca.or(other.ca),
            cert: self.cert.or(other.cert),
            key: self.key.or(other.key),
            server_name: self.server_name.or(other.server_name),
        }
    }

    /// Whether any of them is for TLS.
    pub fn are_for_tls(&self) -> bool {
        self.ca.is_some() || self.cert.is_some() || self.key.is_some() || self.server_name.is_some()
    }

    /// The token.
    ///
    /// # Errors
    /// The file has none.
    pub fn token(&self) -> Result<Option<SecretText>, Error> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let text = String::from_utf8(read(path, "the token")?).unwrap_or_default();
        let text = SecretText::new(text);
        let token = text.reveal().trim();
        let plain = token.bytes().all(|byte| byte.is_ascii_graphic());
        match plain && (1..=MAX_TOKEN).contains(&token.len()) {
            true => Ok(Some(SecretText::new(token.to_owned()))),
            false => Err(wrong(format!(
                "{} has no token: it has one line, of what `equipoise ctl token new` has shown",
                path.display()
            ))),
        }
    }

    /// How TLS is made with the gateway at `host`.
    ///
    /// # Errors
    /// A file is missing, or cannot be used.
    pub fn tls(&self, host: &str) -> Result<Tls, Error> {
        let Some(ca) = &self.ca else {
            return Err(wrong(
                "whom is the gateway to be believed by? Give its authority with --ca ca.pem".into(),
            ));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca)? {
            roots.add(certificate).map_err(|error| unusable(ca, &error))?;
        }
        let provider = Arc::new(default_provider());
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.build().map_err(|error| unusable(ca, &error))?;
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(error.to_string()))?
            .with_webpki_verifier(verifier);
        let mut config = match (&self.cert, &self.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => {
                let private = PrivateKeyDer::from_pem_slice(&read(key, "the key")?)
                    .map_err(|error| unusable(key, &error))?;
                builder
                    .with_client_auth_cert(certificates(cert)?, private)
                    .map_err(|error| unusable(key, &error))?
            }
            _ => return Err(wrong("--cert and --key belong together: give both".into())),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        let name = self.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            wrong(format!("`{name}` is no name of a certificate: give one with --server-name"))
        })?;
        Ok(Tls { config: Arc::new(config), name })
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path, "the certificate")?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(wrong(format!("{} has no certificate in PEM", path.display()))),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> Error {
    wrong(format!("{} cannot be used: {error}", path.display()))
}

impl Tls {
    /// Connects to host and port.
    pub async fn open(self, address: String) -> io::Result<impl AsyncRead + AsyncWrite + Unpin> {
        let stream = TcpStream::connect(&address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(self.config).connect(self.name, stream).await
    }
}

/// What a failure of TLS, as rustls tells it, is about.
pub(super) fn help(reason: &str) -> Option<&'static str> {
    let has = |text: &str| reason.contains(text);
    let alert = has("received fatal alert");
    Some(match () {
        () if alert && has("CertificateRequired") => {
            "The gateway asks for a client certificate: give --cert and --key."
        }
        () if alert && has("CertificateExpired") => {
            "The client certificate has expired: get a new one."
        }
        () if alert && has("CertificateRevoked") => {
            "The client certificate has been revoked: get a new one."
        }
        () if alert && (has("UnknownCA") || has("BadCertificate") || has("DecryptError")) => {
            "The gateway does not take this client certificate: it has to be of the authority that its \
             configuration names under `client_ca`."
        }
        () if has("UnknownIssuer") || has("BadSignature") => {
            "The gateway's certificate is not of the authority in --ca: is this the right gateway?"
        }
        () if has("not valid for name") || has("NotValidForName") => {
            "The gateway's certificate is for another name: give that with --server-name."
        }
        () if has("certificate expired") || has("Expired") => {
            "The gateway's certificate has expired: put a new one into its file."
        }
        () if has("InvalidContentType") || has("corrupt message") => {
            "It speaks no TLS: write http:// in place of https://."
        }
        () => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_line_of_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let of = |text: &str| {
            fs::write(&path, text).unwrap();
            let credentials = Credentials { token_file: Some(path.clone()), ..Default::default() };
            let token = credentials.token();
            token.map(|token| token.unwrap().reveal().to_owned()).map_err(|error| error.to_string())
        };
        assert_eq!(of("eqp_a\n"), Ok("eqp_a".into()));
        for wrong in ["", "\n", "a b", "a\nb", &"x".repeat(MAX_TOKEN + 1)] {
            assert!(of(wrong).unwrap_err().contains("has no token"), "{wrong}");
        }
        fs::remove_file(&path).unwrap();
        let gone = Credentials { token_file: Some(path), ..Default::default() }.token();
        assert!(gone.unwrap_err().to_string().contains("cannot read the token"));
    }

    #[test]
    fn failures_of_tls_say_what_to_do() {
        for (reason, says) in [
            ("received fatal alert: CertificateRequired", "--cert and --key"),
            ("received fatal alert: UnknownCA", "client_ca"),
            ("invalid peer certificate: UnknownIssuer", "--ca"),
            ("invalid peer certificate: certificate not valid for name \"a\"", "--server-name"),
            ("received corrupt message of type InvalidContentType", "http://"),
        ] {
            assert!(help(reason).unwrap().contains(says), "{reason}");
        }
        assert_eq!(help("connection refused"), None);
    }
}
