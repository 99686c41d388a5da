//! Decides what a caller may do.

use std::time::SystemTime;

use super::{Glob, Grant, Grants, Identity, MethodRule, Need, Role, Tokens};

/// Grants something to whoever has such a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The names, as identities are shown.
    pub who: Glob,
    /// What they may do.
    pub grant: Grant,
}

/// Who may do what. The default is what holds with nothing configured: whoever reaches a port on
/// loopback, in clear text, may do everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// By certificate.
    pub rules: Vec<Rule>,
    /// By token.
    pub tokens: Tokens,
    /// Whether callers on loopback need to prove nothing.
    pub open_loopback: bool,
}

impl Default for Access {
    fn default() -> Access {
        Access { rules: Vec::new(), tokens: Tokens::default(), open_loopback: true }
    }
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadToken {
    /// There is none like it: it never was one, or was taken off the file.
    #[error("the token is not known here: it is wrong, or has been revoked")]
    Unknown,
    /// It is over.
    #[error("the token `{0}` has expired: have another made with `equipoise ctl token new`")]
    Expired(String),
}

/// What a caller lacks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{who}` may not do this: {method} needs the role {}{on}, and it has {has}", .role.name())]
pub struct Denied {
    who: String,
    method: &'static str,
    role: Role,
    on: String,
    has: String,
}

impl Access {
    /// Whose token this is.
    ///
    /// # Errors
    /// Nobody's, or it has expired.
    pub fn token(&self, text: &str, now: SystemTime) -> Result<Identity, BadToken> {
        let token = self.tokens.find(text).ok_or(BadToken::Unknown)?;
        match token.has_expired(now) {
            true => Err(BadToken::Expired(token.name.to_string())),
            false => Ok(Identity::Token(token.name.clone())),
        }
    }

    /// All that somebody may do. Tokens that share a name share what they may, each until it expires.
    pub fn grants(&self, who: &Identity, now: SystemTime) -> Grants {
        match who {
            Identity::User(_) => return Grants::everything(),
            Identity::Loopback if self.open_loopback => return Grants::everything(),
            Identity::Loopback => return Grants::default(),
            _ => {}
        }
        let name = who.to_string();
        let by_rule = self.rules.iter().filter(|rule| rule.who.matches(&name));
        let by_rule = by_rule.map(|rule| rule.grant.clone());
        let mut grants: Vec<Grant> = by_rule.collect();
        if let Identity::Token(name) = who {
            let own = self.tokens.iter().filter(|token| token.name == *name);
            let own = own.filter(|token| !token.has_expired(now));
            for grant in own.flat_map(|token| token.grants.0.iter()) {
                if !grants.contains(grant) {
                    grants.push(grant.clone());
                }
            }
        }
        Grants(grants)
    }
}

impl Grants {
    /// Whether a method may be called at all; what it is about comes with the request.
    ///
    /// # Errors
    /// What is lacking.
    pub fn call(&self, who: &Identity, rule: &MethodRule) -> Result<(), Denied> {
        let may = match rule.need {
            Need::Identity => true,
            Need::All => self.allow_all(rule.role),
            Need::Service | Need::Split | Need::Listed => self.allow_some(rule.role),
        };
        let on = if rule.need == Need::All { " for all services" } else { "" };
        if may { Ok(()) } else { Err(self.denied(who, rule, rule.role, on.to_owned())) }
    }

    /// Whether a method may be called for this service.
    ///
    /// # Errors
    /// What is lacking.
    pub fn call_for(
        &self,
        who: &Identity,
        rule: &MethodRule,
        role: Role,
        service: &str,
    ) -> Result<(), Denied> {
        if self.allow(role, service) {
            return Ok(());
        }
        let service: String = service.chars().take(64).collect();
        let on = format!(" for the service `{}`", service.escape_debug());
        Err(self.denied(who, rule, role, on))
    }

    fn denied(&self, who: &Identity, rule: &MethodRule, role: Role, on: String) -> Denied {
        Denied { who: who.to_string(), method: rule.name, role, on, has: self.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{digest, method};
    use super::*;
    use crate::text::SecretText;

    fn access() -> Access {
        let line = |name: &str, role: &str, token: &str, until: &str| {
            format!("{name} {role} {} {until}\n", digest(&SecretText::new(token.into())))
        };
        let text = line("ci", "operate:orders*", "now", "never")
            + &line("ci", "admin", "past", "1970-01-01T00:01:00Z");
        let rule = |who: &str, grant: &str| Rule {
            who: Glob::parse(who).unwrap(),
            grant: Grant::parse(grant).unwrap(),
        };
        Access {
            rules: vec![rule("spiffe://prod/ns/ops/*", "admin"), rule("dns:*.ops.example", "read")],
            tokens: Tokens::parse(&text).unwrap(),
            open_loopback: false,
        }
    }

    fn rule(name: &str) -> &'static MethodRule {
        method(&format!("/equipoise.control.v1.Control/{name}")).unwrap()
    }

    #[test]
    fn whoever_is_not_named_may_do_nothing() {
        let (access, now) = (access(), SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
        let of = |who: Identity| access.grants(&who, now).to_string();
        assert_eq!(of(Identity::User(1000)), "admin");
        assert_eq!(of(Identity::Spiffe("spiffe://prod/ns/ops/sa/a".into())), "admin");
        assert_eq!(of(Identity::Spiffe("spiffe://test/ns/ops/sa/a".into())), "nothing");
        assert_eq!(of(Identity::Dns("a.ops.example".into())), "read");
        assert_eq!(of(Identity::Dns("ops.example".into())), "nothing");
        assert_eq!(of(Identity::Loopback), "nothing");
        assert_eq!(Access::default().grants(&Identity::Loopback, now).to_string(), "admin");
        // What a token of the same name may that has expired is over.
        assert_eq!(of(Identity::Token("ci".into())), "operate:orders*");
        assert_eq!(of(Identity::Token("other".into())), "nothing");
        assert_eq!(access.token("now", now).unwrap().to_string(), "token:ci");
        assert_eq!(access.token("past", now), Err(BadToken::Expired("ci".into())));
        assert_eq!(access.token("else", now), Err(BadToken::Unknown));
    }

    #[test]
    fn refusals_say_who_lacks_what() {
        let (access, ci) = (access(), Identity::Token("ci".into()));
        let grants = access.grants(&ci, SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
        let (weights, policy) = (rule("SetWeights"), rule("SetPolicy"));
        assert!(grants.call(&ci, weights).is_ok() && grants.call(&ci, rule("WhoAmI")).is_ok());
        assert!(grants.call_for(&ci, weights, Role::Operate, "orders").is_ok());
        let told = grants.call_for(&ci, weights, Role::Operate, "carts").unwrap_err().to_string();
        assert_eq!(
            told,
            "`token:ci` may not do this: SetWeights needs the role operate for the service `carts`, \
             and it has operate:orders*"
        );
        assert!(
            grants.call(&ci, policy).unwrap_err().to_string().contains("needs the role admin,")
        );
        let told = grants.call(&ci, rule("SetLogLevel")).unwrap_err().to_string();
        assert!(told.contains("needs the role admin for all services"), "{told}");
        assert!(grants.call(&ci, rule("ExplainRoute")).is_err());
    }
}
