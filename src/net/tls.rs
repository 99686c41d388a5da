//! TLS towards clients, and what of it outlives a change of the configuration.

use std::sync::Arc;

use rustls::{RootCertStore, ServerConfig};

/// TLS towards clients.
#[derive(Clone, Debug)]
pub struct ServerTls {
    config: Arc<ServerConfig>,
    client_ca: Option<Arc<RootCertStore>>,
}

impl ServerTls {
    /// TLS as `config` says, whose clients need a certificate of `client_ca` if there is one.
    pub fn new(config: ServerConfig, client_ca: Option<Arc<RootCertStore>>) -> ServerTls {
        ServerTls { config: Arc::new(config), client_ca }
    }

    /// The server's side of the handshake.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// This one in place of `before`: clients resume the sessions that they have, also if the
    /// certificate is another. But not if other authorities are asked for: who resumes shows no
    /// certificate, and would be let in by one that is no longer believed.
    pub fn in_place_of(self, before: &ServerTls) -> ServerTls {
        if !self.believes_whom(before) {
            return self;
        }
        let mut config = ServerConfig::clone(&self.config);
        config.session_storage = Arc::clone(&before.config.session_storage);
        config.ticketer = Arc::clone(&before.config.ticketer);
        ServerTls { config: Arc::new(config), ..self }
    }

    /// Whether it believes those clients whom `other` believes, and no others.
    fn believes_whom(&self, other: &ServerTls) -> bool {
        match (&self.client_ca, &other.client_ca) {
            (None, None) => true,
            (Some(own), Some(other)) => own.roots == other.roots,
            _ => false,
        }
    }
}
