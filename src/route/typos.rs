//! Typos: routes that a request misses by a few letters.

use super::index::Candidate;
use super::request::Request;
use super::table::Row;
use super::{HostMatch, PathMatch, RouteQuery, RouteTable};
use crate::text::is_near;

impl RouteTable {
    /// Calls `visit` with the routes whose path is within a typo of the request's, and that match
    /// otherwise, by index.
    pub(super) fn walk_typos<'t>(
        &'t self,
        query: &RouteQuery<'_>,
        mut visit: impl FnMut(Candidate, &'t Row),
    ) {
        let Ok(path) = std::str::from_utf8(Request::new(query).path) else { return };
        for (number, row) in (0..).zip(self.rows()) {
            let Some(corrected_path) = corrected_path(path, &row.matched.path) else { continue };
            let query = RouteQuery { path: corrected_path.as_bytes(), ..*query };
            let request = Request::new(&query);
            let found = self.walk(&request, |candidate, _| {
                let is_it = candidate.number == number;
                (is_it && self.unmet(candidate, &request).is_none()).then_some(candidate)
            });
            found.into_iter().for_each(|candidate| visit(candidate, row));
        }
    }
}

/// Whether a host is within a typo of the one that a route matches, label by label.
pub(super) fn is_near_host(host: &[u8], wanted: &HostMatch) -> bool {
    let host = String::from_utf8_lossy(host).to_ascii_lowercase();
    let is_almost = |host: &str, wanted: &str| {
        host.split('.').count() == wanted.split('.').count()
            && host.split('.').zip(wanted.split('.')).all(|(a, b)| a == b || is_near(a, b))
    };
    match wanted {
        HostMatch::Any => false,
        HostMatch::Exact(name) => is_almost(&host, name),
        HostMatch::Below(name) => host.split_once('.').is_some_and(|(_, it)| is_almost(it, name)),
    }
}

/// The path that was probably meant, if this one is within a typo of the route's.
fn corrected_path(path: &str, wanted: &PathMatch) -> Option<String> {
    let is_almost = |path: &str, wanted: &str| {
        let parts = || path.split('/').zip(wanted.split('/'));
        path != wanted
            && path.split('/').count() == wanted.split('/').count()
            && parts().all(|(part, wanted)| part == wanted || is_almost_part(part, wanted))
    };
    match wanted {
        PathMatch::Exact(wanted) | PathMatch::GrpcMethod(wanted) => {
            is_almost(path, wanted).then(|| wanted.to_string())
        }
        PathMatch::GrpcService(wanted) | PathMatch::Prefix(wanted) => {
            let mut slashes = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let end = slashes.nth(wanted.matches('/').count())?;
            let (begin, rest) = path.split_at_checked(end)?;
            is_almost(begin, wanted).then(|| format!("{wanted}{rest}"))
        }
        PathMatch::Any | PathMatch::Regex(_) | PathMatch::GrpcRegex(_) => None,
    }
}

/// Whether a package or service name is within a typo, segment by segment; the package may be
/// missing.
fn is_almost_part(part: &str, wanted: &str) -> bool {
    let (mut names, mut wanted) = (part.rsplit('.'), wanted.rsplit('.'));
    let last = names.next().zip(wanted.next());
    let is_almost = |(name, wanted): (&str, &str)| name == wanted || is_near(name, wanted);
    let packages: (Vec<&str>, Vec<&str>) = (names.collect(), wanted.collect());
    last.is_some_and(is_almost)
        && (packages.0.is_empty()
            || packages.0.len() == packages.1.len()
                && packages.0.into_iter().zip(packages.1).all(is_almost))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant_by(path: &str, wanted: PathMatch) -> Option<String> {
        corrected_path(path, &wanted)
    }

    #[test]
    fn typos_are_recognized_and_other_words_are_not() {
        let method = |path: &str| PathMatch::GrpcMethod(path.into());
        for typo in [
            "/shop.Ordres/Get",
            "/shop.orders/get",
            "/shpo.Orders/Get",
            "/Orders/Get",
            "/shop.Orders/Gt",
        ] {
            let found = meant_by(typo, method("/shop.Orders/Get"));
            assert_eq!(found.as_deref(), Some("/shop.Orders/Get"), "{typo}");
        }
        for other in
            ["/shop.Orders/Get", "/shop.Users/Get", "/shop.Orders/Cancel", "/shop.Orders", "/"]
        {
            assert_eq!(meant_by(other, method("/shop.Orders/Get")), None, "{other}");
        }
    }

    #[test]
    fn the_rest_behind_a_prefix_is_kept() {
        let service = PathMatch::GrpcService("/shop.Orders".into());
        assert_eq!(meant_by("/shop.Oders/Get", service).as_deref(), Some("/shop.Orders/Get"));
        let prefix = || PathMatch::Prefix("/api/orders".into());
        assert_eq!(meant_by("/api/oders/7/x", prefix()).as_deref(), Some("/api/orders/7/x"));
        assert_eq!(meant_by("/api/oders", prefix()).as_deref(), Some("/api/orders"));
        assert_eq!(meant_by("/api", prefix()), None);
        assert_eq!(meant_by("/api/orders/7", prefix()), None);
    }

    #[test]
    fn hosts_are_compared_whatever_their_case() {
        let exact = HostMatch::Exact("shop.example".into());
        assert!(is_near_host(b"Shpo.example", &exact));
        assert!(!is_near_host(b"other.test", &exact) && !is_near_host(b"cart.example", &exact));
        assert!(is_near_host(b"www.shop.exmaple", &HostMatch::Below("shop.example".into())));
    }
}
