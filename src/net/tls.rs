//! TLS towards clients, and session resumption across reloads.

use std::sync::Arc;

use rustls::{RootCertStore, ServerConfig};

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    client_ca: Option<Arc<RootCertStore>>,
}

impl ServerTls {
    /// TLS by `config`; clients need a certificate of `client_ca` if there is one (mTLS).
    pub fn new(config: ServerConfig, client_ca: Option<Arc<RootCertStore>>) -> ServerTls {
        ServerTls { config: Arc::new(config), client_ca }
    }

    /// The rustls configuration.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Replaces `before`, taking over its session tickets, so that clients can resume even if the
    /// certificate changed. Not if the client CA changed: a resumed session shows no certificate,
    /// so one that is no longer trusted would be let in.
    pub fn in_place_of(self, before: &ServerTls) -> ServerTls {
        if !self.has_same_client_ca(before) {
            return self;
        }
        let mut config = ServerConfig::clone(&self.config);
        config.session_storage = Arc::clone(&before.config.session_storage);
        config.ticketer = Arc::clone(&before.config.ticketer);
        ServerTls { config: Arc::new(config), ..self }
    }

    /// Whether both have the same client CAs.
    fn has_same_client_ca(&self, other: &ServerTls) -> bool {
        match (&self.client_ca, &other.client_ca) {
            (None, None) => true,
            (Some(own), Some(other)) => own.roots == other.roots,
            _ => false,
        }
    }
}
