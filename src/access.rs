//! Who may steer: identities, roles, tokens, and what each method of the control API needs.
//!
//! Everything here is a pure function of what it is given: no I/O, no clock, no randomness of its own.
//! Whoever is not named may do nothing.

mod bearer;
mod glob;
mod grant;
mod identity;
mod methods;
mod policy;
mod tokens;

pub use bearer::{BadBearer, bearer};
pub use glob::Glob;
pub use grant::{Grant, Grants, Role, Scope};
pub use identity::{CertificateNames, Identity, Unidentified};
pub use methods::{METHODS, MethodRule, Need, method};
pub use policy::{Access, BadToken, Denied, Rule};
pub use tokens::{
    BadTokenFile, MAX_TOKEN, MAX_TOKEN_FILE, Token, Tokens, digest, mint, token_name,
};
