//! TLS towards clients, and session resumption across reloads.

mod certificates;
mod client_certificate;
mod client_verifier;
mod pace;

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateRevocationListDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

pub use self::certificates::{Certificates, ServerCertificate};
pub use self::client_certificate::ClientCertificate;
pub use self::client_verifier::ClientVerifier;
pub(super) use self::pace::Pace;
use crate::model::{Forwarding, SanPattern};

/// Which clients are let in. A resumed session shows no certificate, so that sessions end when this
/// changes.
#[derive(Clone, Debug)]
pub struct ClientTrust {
    /// The authorities of clients' certificates.
    pub roots: Arc<RootCertStore>,
    /// What they have revoked.
    pub revoked: Vec<CertificateRevocationListDer<'static>>,
    /// Whether a revocation list that has expired is as good as none, so that nobody is let in whom
    /// it is about.
    pub refuse_expired_lists: bool,
    /// Whether whom an authority without a revocation list has certified is not let in, where there are
    /// lists.
    pub refuse_missing_lists: bool,
    /// Whether clients without a certificate are let in.
    pub optional: bool,
    /// Whose certificates are let in; empty for all.
    pub allowed: Box<[SanPattern]>,
}

impl PartialEq for ClientTrust {
    fn eq(&self, other: &ClientTrust) -> bool {
        self.roots.roots == other.roots.roots
            && self.revoked == other.revoked
            && self.refuse_expired_lists == other.refuse_expired_lists
            && self.refuse_missing_lists == other.refuse_missing_lists
            && self.optional == other.optional
            && self.allowed == other.allowed
    }
}

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    certificates: Arc<Certificates>,
    trust: Option<(ClientTrust, Arc<dyn ClientCertVerifier>)>,
}

impl ServerTls {
    /// TLS by `config`, which shows `certificates`; clients are asked for a certificate if there is
    /// a `trust` (mTLS), and its verifier.
    pub fn new(
        config: ServerConfig,
        certificates: Arc<Certificates>,
        trust: Option<(ClientTrust, Arc<dyn ClientCertVerifier>)>,
    ) -> ServerTls {
        ServerTls { config: Arc::new(config), certificates, trust }
    }

    /// Verifies clients' certificates, if they are asked for one.
    pub fn verifier(&self) -> Option<&Arc<dyn ClientCertVerifier>> {
        self.trust.as_ref().map(|(_, verifier)| verifier)
    }

    /// The rustls configuration.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Whether clients are asked for a certificate.
    pub fn asks_clients(&self) -> bool {
        self.trust.is_some()
    }

    /// Reads the certificate that a client has shown, if any.
    ///
    /// # Errors
    /// It has expired, as it may have since the session that the client has resumed.
    pub(super) fn client(
        &self,
        session: &ServerConnection,
        forwarding: &Forwarding,
    ) -> io::Result<Option<ClientCertificate>> {
        let Some(chain) = session.peer_certificates() else { return Ok(None) };
        let now = self.config.time_provider.current_time();
        let now = now.ok_or_else(|| io::Error::other("no time of day"))?;
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let by = self.certificates.uri(session.server_name());
        let client = ClientCertificate::read(chain, &forwarding.client_cert, by, now);
        client.map(Some).ok_or_else(|| io::Error::other("the client's certificate has expired"))
    }

    /// Replaces `before`, taking over its session tickets, so that clients can resume even if the
    /// certificate changed. Not if other clients are let in: a resumed session shows no certificate,
    /// so one that is no longer trusted would be let in.
    pub fn in_place_of(self, before: &ServerTls) -> ServerTls {
        let trust = |tls: &ServerTls| tls.trust.as_ref().map(|(trust, _)| trust.clone());
        if trust(&self) != trust(before) {
            return self;
        }
        let mut config = ServerConfig::clone(&self.config);
        config.session_storage = Arc::clone(&before.config.session_storage);
        config.ticketer = Arc::clone(&before.config.ticketer);
        ServerTls { config: Arc::new(config), ..self }
    }
}
