//! Tokens, by the file that lists them: a line for each, with the digest alone.

use std::fmt::Write as _;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::SystemTime;

use prost_types::Timestamp;
use ring::digest::SHA256;
use subtle::ConstantTimeEq as _;

use super::Grants;
use crate::text::SecretText;

/// Maximum length of a token in bytes.
pub const MAX_TOKEN: usize = 512;
/// Maximum size of a token file in bytes.
pub const MAX_TOKEN_FILE: u64 = 1 << 20;
/// Maximum number of tokens of a file. Each call is compared with all of them.
const MAX_TOKENS: usize = 1000;
/// Maximum length of a name.
const MAX_NAME: usize = 64;
/// Random bytes of a new token: 256 bits.
const RANDOM_BYTES: usize = 32;
/// What new tokens begin with, so that scanners for leaked secrets know them.
const PREFIX: &str = "eqp_";
/// In place of an expiry.
const NEVER: &str = "never";

/// SHA-256.
type Digest = [u8; 32];

/// A token of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its name; several may share one, so that tokens can be rotated.
    pub name: Arc<str>,
    /// What its holder may do.
    pub grants: Grants,
    /// When it expires, if ever.
    pub expires: Option<SystemTime>,
    digest: Digest,
}

/// The tokens of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

/// What is wrong with a token file, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct BadTokenFile {
    /// The line, from 1 on.
    pub line: usize,
    /// The column in characters, from 1 on.
    pub column: usize,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl Tokens {
    /// Reads a file: lines of `name role[:services] sha256 expiry`, where `#` begins a comment.
    ///
    /// # Errors
    /// Every line that is wrong. None of them shows a digest, which a token could be put in place of.
    pub fn parse(text: &str) -> Result<Tokens, Vec<BadTokenFile>> {
        let (mut tokens, mut errors) = (Vec::<Token>::new(), Vec::new());
        for (index, line) in text.lines().enumerate() {
            let code = line.split('#').next().unwrap_or_default();
            if code.trim().is_empty() {
                continue;
            }
            let at = |(column, message)| BadTokenFile { line: index + 1, column, message };
            match read(code) {
                Ok(token) => match tokens.iter().find(|other| other.digest == token.digest) {
                    Some(other) => {
                        let message = format!("`{}` has the same token: make another", other.name);
                        errors.push(at((1, message)));
                    }
                    None => tokens.push(token),
                },
                Err(wrong) => errors.push(at(wrong)),
            }
            if tokens.len() > MAX_TOKENS {
                errors.push(at((1, format!("these are more than {MAX_TOKENS} tokens"))));
                break;
            }
        }
        if errors.is_empty() { Ok(Tokens(tokens)) } else { Err(errors) }
    }

    /// The token that this text is, expired or not. All are compared, each in constant time, so that
    /// how long it takes tells nothing about any of them.
    pub fn find(&self, text: &str) -> Option<&Token> {
        if text.len() > MAX_TOKEN {
            return None;
        }
        let digest = hash(text);
        let mut found = None;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&digest)) {
                found = Some(token);
            }
        }
        found
    }

    /// All tokens.
    pub fn iter(&self) -> impl Iterator<Item = &Token> {
        self.0.iter()
    }
}

impl Token {
    /// Whether it is over.
    pub fn has_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }
}

/// Reads a line, or says what is wrong in which column.
fn read(line: &str) -> Result<Token, (usize, String)> {
    let column = |field: &str| {
        let bytes = field.as_ptr() as usize - line.as_ptr() as usize;
        line.get(..bytes).unwrap_or_default().chars().count() + 1
    };
    let mut fields = line.split_whitespace();
    let mut next = |what: &str| {
        let missing = (line.trim_end().chars().count() + 1, format!("{what} is missing: {FORM}"));
        fields.next().ok_or(missing)
    };
    let (name, role) = (next("the name")?, next("the role")?);
    let (digest, expiry) = (next("the SHA-256")?, next("the expiry")?);
    if let Some(further) = fields.next() {
        return Err((column(further), format!("this is too much: {FORM}")));
    }
    token_name(name).map_err(|wrong| (column(name), wrong))?;
    let grants = Grants::parse(role).map_err(|wrong| (column(role), wrong))?;
    let digest = read_digest(digest).ok_or_else(|| {
        let message = "the third field is the token's SHA-256 in 64 hexadecimal digits, never the \
                       token itself: `equipoise ctl token new` prints the line";
        (column(digest), message.to_owned())
    })?;
    let expires = match expiry {
        NEVER => None,
        text => {
            let time = Timestamp::from_str(text).ok().filter(|_| text.contains('T'));
            let time = time.and_then(|time| SystemTime::try_from(time).ok());
            let wrong = "the expiry is a time such as 2027-01-31T12:00:00Z, or `never`";
            Some(time.ok_or((column(expiry), wrong.to_owned()))?)
        }
    };
    Ok(Token { name: name.into(), grants, expires, digest })
}

/// What a line has to be.
const FORM: &str = "a line has a name, a role such as `operate:orders*`, a SHA-256 and an expiry";

/// Checks a name.
///
/// # Errors
/// What it may consist of.
pub fn token_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.@".contains(&b);
    match (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) {
        true => Ok(()),
        false => {
            let shown: String = name.chars().take(MAX_NAME).collect();
            Err(format!(
                "`{}` is no name of a token: it has up to {MAX_NAME} letters, digits and -_.@",
                shown.escape_debug()
            ))
        }
    }
}

fn read_digest(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    let pairs = text.as_bytes().chunks(2);
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(pairs) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    text.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digest)
}

fn hash(text: &str) -> Digest {
    let mut digest = Digest::default();
    // It has this length; a digest that was cut would be equal to none.
    for (to, from) in digest.iter_mut().zip(ring::digest::digest(&SHA256, text.as_bytes()).as_ref())
    {
        *to = *from;
    }
    digest
}

/// The SHA-256 of a token, as the file has it.
pub fn digest(token: &SecretText) -> String {
    hash(token.reveal()).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A new token, of random bytes that `fill` gives.
///
/// # Errors
/// There are none.
pub fn mint<E>(fill: impl FnOnce(&mut [u8]) -> Result<(), E>) -> Result<SecretText, E> {
    use base64::Engine as _;
    let mut random = zeroize::Zeroizing::new([0; RANDOM_BYTES]);
    fill(&mut *random)?;
    let mut text = PREFIX.to_owned();
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode_string(*random, &mut text);
    Ok(SecretText::new(text))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(name: &str, role: &str, token: &str, expiry: &str) -> String {
        format!("{name} {role} {} {expiry}\n", digest(&SecretText::new(token.into())))
    }

    #[test]
    fn tokens_are_found_by_what_they_are() {
        let text = format!(
            "# who may steer\n\n{}{}",
            line("ci", "operate:orders*", "first", "1970-01-01T00:01:00Z # until then"),
            line("ci", "read", "second", "never"),
        );
        let tokens = Tokens::parse(&text).unwrap();
        let first = tokens.find("first").unwrap();
        assert_eq!((&*first.name, &*first.grants.to_string()), ("ci", "operate:orders*"));
        let after = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert!(!first.has_expired(after(59)) && first.has_expired(after(60)));
        assert!(!tokens.find("second").unwrap().has_expired(after(1 << 40)));
        for wrong in ["", "firs", "first ", "First", &digest(&SecretText::new("first".into()))] {
            assert_eq!(tokens.find(wrong), None, "{wrong}");
        }
        assert_eq!(tokens.find(&"x".repeat(MAX_TOKEN + 1)), None);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_line_and_column() {
        let good = line("ci", "read", "a", "never");
        let hex = "0".repeat(64);
        for (wrong, line, column, says) in [
            ("ci".to_owned(), 2, 3, "the role is missing"),
            ("ci read".to_owned(), 2, 8, "the SHA-256 is missing"),
            (format!("ci read {hex}"), 2, 73, "the expiry is missing"),
            (format!("ci read {hex} never more"), 2, 80, "too much"),
            (format!("c/i read {hex} never"), 2, 1, "no name"),
            (format!("  ci root {hex} never"), 2, 6, "no role"),
            (format!("ci read:a,,b {hex} never"), 2, 4, "no pattern"),
            ("ci read eqp_secret never".to_owned(), 2, 9, "never the token itself"),
            (format!("ci read +{} never", &hex[1..]), 2, 9, "hexadecimal"),
            (format!("ci read {hex} tomorrow"), 2, 74, "2027-01-31T12:00:00Z"),
            (format!("ci read {hex} 2027-01-31"), 2, 74, "2027-01-31T12:00:00Z"),
            (good.clone(), 2, 1, "the same token"),
        ] {
            let errors = Tokens::parse(&format!("{good}{wrong}")).unwrap_err();
            let BadTokenFile { line: at, column: place, message } = &errors[0];
            assert_eq!((*at, *place), (line, column), "{wrong}: {message}");
            assert!(message.contains(says), "{wrong}: {message}");
            assert!(!message.contains("eqp_secret") && errors.len() == 1, "{message}");
        }
        let many: String =
            (0..=MAX_TOKENS).map(|index| line("ci", "read", &index.to_string(), "never")).collect();
        assert!(Tokens::parse(&many).unwrap_err()[0].message.contains("more than 1000"));
    }

    #[test]
    fn a_new_token_has_all_of_its_random_bytes() {
        let fill = |bytes: &mut [u8]| {
            assert_eq!(bytes.len(), 32);
            bytes.fill(0xff);
            Ok::<(), ()>(())
        };
        let token = mint(fill).unwrap();
        assert_eq!(token.reveal(), format!("eqp_{}8", "_".repeat(42)));
        let tokens = Tokens::parse(&line("ci", "admin", token.reveal(), "never")).unwrap();
        assert_eq!(&*tokens.find(token.reveal()).unwrap().name, "ci");
        assert!(mint(|_| Err("no randomness")).is_err());
    }
}
