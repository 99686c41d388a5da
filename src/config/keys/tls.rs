//! Keys of TLS: of listeners, and towards backends.

use rustls::pki_types::ServerName;

use super::texts::{FILE, SAN, SERVER_NAME, SPIFFE};
use crate::config::read;
use crate::config::tls::{server_name, spiffe};
use crate::model::SanPattern;
use crate::text::keys::{
    Absent, Form, Key, List, Many, Part, Setting, Shape, Word, section, text, word,
};

pub(super) const fn file() -> Form<String> {
    text(&FILE, read::text, Clone::clone)
}

pub(super) const fn san() -> Form<SanPattern> {
    text(&SAN, SanPattern::parse, ToString::to_string)
}

/// Whether clients need a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Those without one are turned away.
    Required,
    /// Those without one are let in.
    Optional,
}

impl Word for ClientAuth {
    const WORDS: &'static [(&'static str, ClientAuth)] =
        &[("required", ClientAuth::Required), ("optional", ClientAuth::Optional)];
}

/// What is done about names that no certificate is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownNames {
    /// They get the first certificate.
    Default,
    /// The handshake fails.
    Refuse,
}

impl Word for UnknownNames {
    const WORDS: &'static [(&'static str, UnknownNames)] =
        &[("default", UnknownNames::Default), ("refuse", UnknownNames::Refuse)];
}

/// What is done about revocation lists that have expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiredLists {
    /// The certificates that they are about are refused.
    Refuse,
    /// They hold as before.
    Apply,
}

impl Word for ExpiredLists {
    const WORDS: &'static [(&'static str, ExpiredLists)] =
        &[("refuse", ExpiredLists::Refuse), ("apply", ExpiredLists::Apply)];
}

/// What is done about certificates of authorities that no revocation list is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MissingLists {
    /// They are refused.
    Refuse,
    /// They are good: nobody has revoked them.
    Accept,
}

impl Word for MissingLists {
    const WORDS: &'static [(&'static str, MissingLists)] =
        &[("refuse", MissingLists::Refuse), ("accept", MissingLists::Accept)];
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

impl Word for TlsVersion {
    const WORDS: &'static [(&'static str, TlsVersion)] =
        &[("TLSv1.2", TlsVersion::V12), ("TLSv1.3", TlsVersion::V13)];
}

/// A cipher suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suite(pub rustls::CipherSuite);

impl Word for Suite {
    const WORDS: &'static [(&'static str, Suite)] = {
        use rustls::CipherSuite as S;
        &[
            ("TLS_AES_256_GCM_SHA384", Suite(S::TLS13_AES_256_GCM_SHA384)),
            ("TLS_AES_128_GCM_SHA256", Suite(S::TLS13_AES_128_GCM_SHA256)),
            ("TLS_CHACHA20_POLY1305_SHA256", Suite(S::TLS13_CHACHA20_POLY1305_SHA256)),
            (
                "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                Suite(S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
            ),
            (
                "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
                Suite(S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
            ),
            (
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
                Suite(S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
            ),
            (
                "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                Suite(S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
            ),
            (
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                Suite(S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
            ),
            (
                "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
                Suite(S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
            ),
        ]
    };
}

/// A protocol in ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Alpn(pub &'static str);

impl Word for Alpn {
    const WORDS: &'static [(&'static str, Alpn)] =
        &[("h2", Alpn("h2")), ("http/1.1", Alpn("http/1.1"))];
}

section! {
    /// TLS towards clients.
    pub static SERVER_TLS: ServerTls = "listeners[].tls";

    cert: Key<String> = file(), Absent::Nothing,
        "the certificate, then those between it and the authority, in PEM; with `key`, as \
         the first of `certificates`";
    key: Key<String> = file(), Absent::Nothing, "its private key in PEM, not encrypted";
    certificates: Part = Shape::Mappings(&CERTIFICATE, Many::Some), Absent::Nothing,
        "further certificates, [chosen](#certificates) by the name that a client asks for";
    unknown_names: Setting<UnknownNames> = word(), UnknownNames::Default,
        "clients that ask for a name that no certificate is for get the first one, or are refused";
    client_ca: Key<String> = file(), Absent::Nothing,
        "clients need a certificate of this authority; without, none is asked for";
    client_auth: Setting<ClientAuth> = word(), ClientAuth::Required,
        "whether clients without a certificate are let in; those who show one have it verified in any case";
    client_crls: List<String> = file(), Many::Some, Absent::Nothing,
        "revocation lists in PEM or DER: whom the authorities have revoked is not let in";
    expired_crls: Setting<ExpiredLists> = word(), ExpiredLists::Refuse,
        "when a revocation list has expired, all whom its authority has certified are refused, or it holds as \
         before";
    missing_crls: Setting<MissingLists> = word(), MissingLists::Refuse,
        "with revocation lists, whom an authority without one has certified is refused, or let in; each authority between \
         has to have one too";
    allowed_clients: List<SanPattern> = san(), Many::Some, Absent::Nothing,
        "whose certificates are let in, by subjectAltName: `spiffe://shop/web` or `spiffe://shop/*`, where the \
         certificate has one URI alone, `web.shop.example` or `*.shop.example`; without, all of the authority";
    min_version: Setting<TlsVersion> = word(), TlsVersion::V12, "older versions are refused";
    suites: List<Suite> = word(), Many::Some, Absent::Words("all of them"),
        "cipher suites; there is no weak one among them";
    alpn: List<Alpn> = word(), Many::Some, Absent::value("[h2, http/1.1]"),
        "protocols that are offered, the preferred one first; a client that knows none of them is refused, \
         and one that names none is understood by what it sends";
}

section! {
    /// A certificate with its key.
    pub static CERTIFICATE: Certificate = "listeners[].tls.certificates[]";

    cert: Key<String> = file(),
        Absent::Required("add `cert: server.pem`, the certificate and its chain"),
        "the certificate, then those between it and the authority, in PEM";
    key: Key<String> = file(),
        Absent::Required("add `key: server.key`, the certificate's private key"),
        "its private key in PEM, not encrypted";
}

section! {
    /// TLS towards backends.
    pub static CLIENT_TLS: ClientTls = "services.*.tls";

    ca: Key<String> = file(),
        Absent::Required("add `ca: ca.pem`, whose certificates the backends have"),
        "endpoints need a certificate of this authority; `system` is for those that the system trusts (a file of that \
         name is `./system`), read at each load";
    cert: Key<String> = file(), Absent::Nothing, "shown to endpoints that ask; needs `key`";
    key: Key<String> = file(), Absent::Nothing, "its private key; needs `cert`";
    server_name: Key<ServerName<'static>> = text(&SERVER_NAME, server_name, |name| name.to_str().into()),
        Absent::Words("the endpoint's host"),
        "what certificates must be for; required where an endpoint is a Unix socket";
    spiffe: Key<SanPattern> = text(&SPIFFE, spiffe, ToString::to_string), Absent::Nothing,
        "what certificates must be for in place of a host: `spiffe://shop/orders`, or `spiffe://shop/*`, as their one URI; \
         `server_name`, or the host, is then asked for and not verified";
    crls: List<String> = file(), Many::Some, Absent::Nothing,
        "revocation lists in PEM or DER: backends whose certificates are revoked are not spoken to";
    expired_crls: Setting<ExpiredLists> = word(), ExpiredLists::Refuse,
        "as of listeners";
    missing_crls: Setting<MissingLists> = word(), MissingLists::Refuse, "as of listeners";
}
