//! Who may ask the metrics port, as the configuration has it now: it may change while connections go on.
//!
//! Health tells one word, to anybody: a kubelet has neither a token nor a certificate. Metrics tell of
//! every service, so that where tokens or certificates are asked for at all, they need one.

use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use http::HeaderMap;
use rustls::ServerConfig;

use super::hosts::AllowedHosts;
use crate::access::{Access, Role, bearer};

/// What the configuration says about who may ask.
#[derive(Clone, Debug, Default)]
pub struct EntranceSettings {
    /// By which names.
    pub hosts: AllowedHosts,
    /// TLS; clear text without.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether TLS asks for client certificates.
    pub asks_clients: bool,
    /// Whose tokens may read metrics; none is asked for without.
    pub access: Option<Access>,
}

/// Who may ask.
#[derive(Debug, Default)]
pub struct Entrance(ArcSwap<EntranceSettings>);

/// Why somebody may not read the metrics.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    /// It is not known who asks.
    #[error("{0}")]
    Unauthenticated(String),
    /// It is known, and may not.
    #[error("`{0}` may not read metrics: it needs the role `read` for all services")]
    Denied(String),
}

impl Entrance {
    /// An entrance with these settings.
    pub fn new(settings: EntranceSettings) -> Entrance {
        Entrance(ArcSwap::from_pointee(settings))
    }

    /// Goes over to other settings: for every request from now on, on open connections too.
    pub fn configure(&self, settings: EntranceSettings) {
        self.0.store(Arc::new(settings));
    }

    /// The TLS of connections.
    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.0.load().tls.clone()
    }

    /// Whether a request may name this authority.
    pub(super) fn allows_host(&self, authority: &str) -> bool {
        self.0.load().hosts.allow(authority)
    }

    /// Whether the metrics may be read with these headers by whoever has shown a certificate that is
    /// good until `certified`, if any.
    ///
    /// # Errors
    /// What is missing or wrong.
    pub(super) fn may_read(
        &self,
        headers: &HeaderMap,
        certified: Option<SystemTime>,
        now: SystemTime,
    ) -> Result<(), Refused> {
        let settings = self.0.load();
        let (access, asks) = (settings.access.as_ref(), settings.asks_clients);
        if access.is_none() && !asks {
            return Ok(());
        }
        let unknown = |why: String| Err(Refused::Unauthenticated(why));
        if let Some(access) = access {
            match bearer(headers) {
                Ok(None) => {}
                Ok(Some(token)) => return by_token(access, token, now),
                Err(bad) => return unknown(bad.to_string()),
            }
        }
        match (certified.filter(|_| asks), access) {
            (Some(until), _) if until > now => Ok(()),
            (Some(_), _) => unknown("the client certificate has expired".into()),
            (None, None) => unknown("metrics need a client certificate".into()),
            (None, Some(_)) if asks => unknown(
                "metrics need a token, `authorization: Bearer`, or a client certificate".into(),
            ),
            (None, Some(_)) => unknown("metrics need a token: `authorization: Bearer`".into()),
        }
    }
}

fn by_token(access: &Access, token: &str, now: SystemTime) -> Result<(), Refused> {
    let who = access.token(token, now);
    let who = who.map_err(|bad| Refused::Unauthenticated(bad.to_string()))?;
    match access.grants(&who, now).allow_all(Role::Read) {
        true => Ok(()),
        false => Err(Refused::Denied(who.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::header::AUTHORIZATION;

    use super::*;
    use crate::access::{Tokens, digest};
    use crate::text::SecretText;

    fn entrance(tokens: bool, asks_clients: bool) -> Entrance {
        let line = |name: &str, role: &str, until: &str| {
            format!("{name} {role} {} {until}\n", digest(&SecretText::new(name.into())))
        };
        let text = line("scraper", "read", "never")
            + &line("root", "admin", "never")
            + &line("some", "admin:orders*", "never")
            + &line("past", "read", "1970-01-01T00:01:00Z");
        let tokens = tokens.then(|| Tokens::parse(&text).unwrap());
        let access = tokens.map(|tokens| Access { tokens, ..Access::default() });
        Entrance::new(EntranceSettings { access, asks_clients, ..EntranceSettings::default() })
    }

    #[test]
    fn metrics_need_what_is_asked_for() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let read = |entrance: &Entrance, token: &str, until: Option<u64>| {
            let mut headers = HeaderMap::new();
            if !token.is_empty() {
                headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            }
            let told = entrance.may_read(&headers, until.map(at), at(3600));
            told.map_err(|refused| refused.to_string())
        };
        let [open, tokens, certificates, both] =
            [(false, false), (true, false), (false, true), (true, true)]
                .map(|(tokens, asks)| entrance(tokens, asks));
        assert_eq!(read(&open, "", None), Ok(()));
        assert_eq!(read(&open, "whatever", None), Ok(()));
        for (entrance, token, until, says) in [
            (&tokens, "scraper", None, ""),
            (&tokens, "root", None, ""),
            (&tokens, "some", None, "`token:some` may not read metrics: it needs the role `read`"),
            (&tokens, "past", None, "`past` has expired"),
            (&tokens, "wrong", None, "not known here"),
            (&tokens, "", None, "need a token: `authorization: Bearer`"),
            // It asks for no certificate, and so has verified none.
            (&tokens, "", Some(4000), "need a token"),
            (&certificates, "", Some(4000), ""),
            (&certificates, "", Some(3600), "certificate has expired"),
            (&certificates, "scraper", None, "need a client certificate"),
            (&both, "", Some(4000), ""),
            (&both, "scraper", None, ""),
            (&both, "scraper", Some(1), ""),
            (&both, "wrong", Some(4000), "not known here"),
            (&both, "", None, "or a client certificate"),
        ] {
            let told = read(entrance, token, until).err().unwrap_or_default();
            let fits = if says.is_empty() { told.is_empty() } else { told.contains(says) };
            assert!(fits, "{token} {until:?}: {told:?} instead of {says}");
        }
    }
}
