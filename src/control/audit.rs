//! Audit: the author of a change, and records of changes refused before they reached a service's
//! writer, which records all others.

use std::sync::Arc;

use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Request, Status};

use super::access::Control;
use super::guard::Permit;
use super::limit::Caller;
use crate::access::Identity;
use crate::overrides::{Author, ChangeRecord, NotKept, Provenance, Subject};
use crate::service::Change;

/// Metadata key of the author's name, which is not verified.
pub const BY: &str = "equipoise-by";
/// The same, for names beyond ASCII.
pub const BY_BINARY: &str = "equipoise-by-bin";
/// Metadata key of the reason for the change.
pub const REASON: &str = "equipoise-reason";
/// The same, for texts beyond ASCII.
pub const REASON_BINARY: &str = "equipoise-reason-bin";
/// Metadata of an answer UNAVAILABLE: the gateway is there, and cannot keep the change.
pub const NOT_KEPT: &str = "equipoise-not-kept";

/// A text about a change that a caller may give.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// What it is, in words.
    what: &'static str,
    /// Its metadata keys: for ASCII, and for all text.
    keys: [&'static str; 2],
    /// Its limit in characters.
    most: usize,
}

impl Claim {
    /// Who makes the change.
    pub const ACTOR: Claim = Claim { what: "a name", keys: [BY, BY_BINARY], most: 64 };
    /// Why.
    pub const REASON: Claim = Claim { what: "a reason", keys: [REASON, REASON_BINARY], most: 256 };

    /// Checks a text, which ends up in logs, terminals and the journal.
    ///
    /// # Errors
    /// It is too long, or has characters that do something to a terminal.
    pub fn check(self, text: &str) -> Result<(), String> {
        let Claim { what, most, .. } = self;
        let length = text.chars().count();
        if length > most {
            return Err(format!("{what} has up to {most} characters, this one has {length}"));
        }
        match text.chars().find(|c| is_control(*c)) {
            Some(c) => Err(format!(
                "{what} has no control characters, this one has U+{:04X}: write it in one line",
                u32::from(c)
            )),
            None => Ok(()),
        }
    }

    /// The text of a call, if it gives one.
    fn of(self, metadata: &MetadataMap) -> Result<Option<Arc<str>>, String> {
        let [plain, binary] = self.keys;
        let unreadable = || format!("{} is not UTF-8 text", self.what);
        let text = match (metadata.get_bin(binary), metadata.get(plain)) {
            (Some(text), _) => {
                let bytes = text.to_bytes().map_err(|_| unreadable())?;
                String::from_utf8(bytes.to_vec()).map_err(|_| unreadable())?
            }
            (None, Some(text)) => {
                std::str::from_utf8(text.as_bytes()).map_err(|_| unreadable())?.to_owned()
            }
            (None, None) => return Ok(None),
        };
        let text = text.trim();
        self.check(text)?;
        Ok(Some(text).filter(|text| !text.is_empty()).map(Into::into))
    }
}

/// Whether it does something to a terminal in place of being shown: controls, line ends, and marks
/// that turn the direction of text.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Who makes a change, and what they may.
pub(super) struct Call {
    pub permit: Permit,
    pub by: Author,
}

/// What the caller may, and the message.
///
/// # Errors
/// The call has come past the guard.
pub(super) fn opened<T>(request: Request<T>) -> Result<(Permit, T), Status> {
    Ok((Permit::of(&request)?, request.into_inner()))
}

/// Who makes a change, and the message.
///
/// # Errors
/// The call has come past the guard, or what it claims is too long, or nothing to show in a line of
/// text.
pub(super) fn signed<T>(request: Request<T>) -> Result<(Call, T), Status> {
    let permit = Permit::of(&request)?;
    let by = Author { method: Some(permit.rule.name), ..author(&request, &permit.who)? };
    Ok((Call { permit, by }, request.into_inner()))
}

/// The author: who they have proved to be, where they came from, and what they claim.
fn author<T>(request: &Request<T>, who: &Identity) -> Result<Author, Status> {
    let caller = request.extensions().get::<Caller>();
    let peer = caller.map_or("unknown peer".to_owned(), |caller| caller.arrival.to_string());
    let identity = (*who != Identity::Loopback).then(|| who.to_string().into());
    let claimed = |claim: Claim| {
        claim.of(request.metadata()).map_err(|error| {
            tracing::warn!(by = peer, error, "change refused");
            Status::invalid_argument(error)
        })
    };
    let (actor, reason) = (claimed(Claim::ACTOR)?, claimed(Claim::REASON)?);
    Ok(Author { identity, peer: peer.into(), actor, reason, method: None })
}

impl Control {
    /// Logs a change that was refused before its service has seen it, and tells the audit.
    pub(super) fn refused(&self, service: &str, call: &Call, change: &Change, error: &str) {
        let (provenance, subject) = (Provenance::now(&call.by), Subject::service(service));
        call.permit.told();
        self.registry.refused(&ChangeRecord::refused(provenance, subject, change, error, None));
    }
}

/// The answer to a change that cannot be kept.
pub(super) fn not_kept(why: &NotKept) -> Status {
    let mut status = Status::unavailable(why.to_string());
    status.metadata_mut().insert(NOT_KEPT, AsciiMetadataValue::from_static("1"));
    status
}

#[cfg(test)]
mod tests {
    use tonic::metadata::BinaryMetadataValue;

    use super::*;

    #[test]
    fn what_callers_say_is_bounded_and_shown_as_it_is() {
        let of = |text: &str| {
            let mut request = Request::new(());
            let value = BinaryMetadataValue::from_bytes(text.as_bytes());
            request.metadata_mut().insert_bin(REASON_BINARY, value);
            author(&request, &Identity::Loopback)
                .map(|author| author.reason.as_deref().map(str::to_owned))
        };
        assert_eq!(of(" Wärme, 暖かい ").unwrap().as_deref(), Some("Wärme, 暖かい"));
        assert_eq!(of("  ").unwrap(), None);
        assert_eq!(of(&"x".repeat(256)).unwrap(), Some("x".repeat(256)));
        for (text, part) in [
            (&*"x".repeat(257), "up to 256 characters, this one has 257"),
            ("a\nb", "U+000A"),
            ("a\u{1b}[31mb", "U+001B"),
            ("a\u{202e}b", "U+202E"),
            ("a\u{9b}b", "U+009B"),
        ] {
            let refused = of(text).unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument);
            assert!(refused.message().contains(part), "{}", refused.message());
        }
        let mut request = Request::new(());
        let broken = BinaryMetadataValue::from_bytes(&[0xff, 0xfe]);
        request.metadata_mut().insert_bin(BY_BINARY, broken);
        let refused = author(&request, &Identity::Loopback).unwrap_err();
        assert_eq!(refused.message(), "a name is not UTF-8 text");
    }
}
