//! Roles, and the services they hold for.

use std::fmt::{self, Display, Formatter};

use super::Glob;

/// Maximum number of patterns of one grant, and of grants of one text.
const MAX_PATTERNS: usize = 100;

/// What one may do; each role includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// See everything, change nothing.
    Read,
    /// Move traffic: weights, drains, ejections, splits.
    Operate,
    /// Everything: add and remove backends, policies, the log.
    Admin,
}

impl Role {
    /// All of them, the least first.
    pub const ALL: [Role; 3] = [Role::Read, Role::Operate, Role::Admin];

    /// As written in the configuration and in token files.
    pub fn name(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Operate => "operate",
            Role::Admin => "admin",
        }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// Which ones there are.
    pub fn parse(text: &str) -> Result<Role, String> {
        Role::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| {
            let shown: String = text.chars().take(64).collect();
            format!("`{}` is no role: write read, operate or admin", shown.escape_debug())
        })
    }
}

/// The services that a role holds for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All, and what is about none of them, such as the log.
    All,
    /// Those with such names.
    Some(Box<[Glob]>),
}

impl Scope {
    /// The scope of these patterns; all with none or `*`.
    ///
    /// # Errors
    /// Which of them is wrong, or that there are too many.
    pub fn parse<'a>(patterns: impl Iterator<Item = &'a str>) -> Result<Scope, String> {
        let globs =
            patterns.map(Glob::parse).take(MAX_PATTERNS + 1).collect::<Result<Box<_>, _>>()?;
        if globs.len() > MAX_PATTERNS {
            return Err(format!("these are more than {MAX_PATTERNS} patterns: use a `*`"));
        }
        let all = globs.is_empty() || globs.iter().any(|glob| glob.to_string() == "*");
        Ok(if all { Scope::All } else { Scope::Some(globs) })
    }

    /// Whether the service of this name is among them.
    pub fn has(&self, service: &str) -> bool {
        match self {
            Scope::All => true,
            Scope::Some(globs) => globs.iter().any(|glob| glob.matches(service)),
        }
    }
}

/// A role for some services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The role.
    pub role: Role,
    /// The services.
    pub scope: Scope,
}

impl Grant {
    /// Parses `read`, or `operate:orders*,carts`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Grant, String> {
        let (role, patterns) = match text.split_once(':') {
            Some((role, patterns)) => (role, Some(patterns)),
            None => (text, None),
        };
        let patterns = patterns.into_iter().flat_map(|patterns| patterns.split(','));
        Ok(Grant { role: Role::parse(role)?, scope: Scope::parse(patterns)? })
    }
}

/// As it is parsed.
impl Display for Grant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.role.name())?;
        if let Scope::Some(globs) = &self.scope {
            let globs: Vec<String> = globs.iter().map(Glob::to_string).collect();
            write!(f, ":{}", globs.join(","))?;
        }
        Ok(())
    }
}

/// All that one may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants(pub Vec<Grant>);

impl Grants {
    /// All of everything.
    pub fn everything() -> Grants {
        Grants(vec![Grant { role: Role::Admin, scope: Scope::All }])
    }

    /// Parses grants, separated by `;`.
    ///
    /// # Errors
    /// What is wrong with one of them.
    pub fn parse(text: &str) -> Result<Grants, String> {
        let grants: Vec<Grant> =
            text.split(';').take(MAX_PATTERNS + 1).map(Grant::parse).collect::<Result<_, _>>()?;
        match grants.len() > MAX_PATTERNS {
            true => Err(format!("these are more than {MAX_PATTERNS} roles")),
            false => Ok(Grants(grants)),
        }
    }

    /// Whether one may do for this service what `role` may.
    pub fn allow(&self, role: Role, service: &str) -> bool {
        self.0.iter().any(|grant| grant.role >= role && grant.scope.has(service))
    }

    /// Whether one may do for all services what `role` may.
    pub fn allow_all(&self, role: Role) -> bool {
        self.0.iter().any(|grant| grant.role >= role && grant.scope == Scope::All)
    }

    /// Whether there may be a service for which one may do what `role` may.
    pub fn allow_some(&self, role: Role) -> bool {
        self.0.iter().any(|grant| grant.role >= role)
    }
}

/// As it is parsed; `nothing` without any.
impl Display for Grants {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nothing");
        }
        let grants: Vec<String> = self.0.iter().map(Grant::to_string).collect();
        f.write_str(&grants.join(";"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_hold_for_services_and_include_lesser_ones() {
        let grants = Grants::parse("read;operate:orders*,carts").unwrap();
        assert_eq!(grants.to_string(), "read;operate:orders*,carts");
        assert!(grants.allow(Role::Read, "users") && grants.allow_all(Role::Read));
        assert!(grants.allow(Role::Operate, "orders-eu") && grants.allow(Role::Operate, "carts"));
        assert!(!grants.allow(Role::Operate, "users") && !grants.allow_all(Role::Operate));
        assert!(grants.allow_some(Role::Operate) && !grants.allow_some(Role::Admin));
        assert!(Grants::parse("admin:*").unwrap().allow_all(Role::Read));
        assert!(!Grants::default().allow_some(Role::Read));
        assert_eq!(Grants::default().to_string(), "nothing");
        for (wrong, says) in [
            ("", "`` is no role"),
            ("root", "write read, operate or admin"),
            ("read:", "no pattern"),
            ("read;", "no role"),
            (&format!("read:{}", "a,".repeat(200) + "a"), "more than 100"),
            (&("read;".repeat(200) + "read"), "more than 100"),
        ] {
            let error = Grants::parse(wrong).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
