//! The names that a name may stand for, by the search list of `/etc/resolv.conf`.

use hickory_resolver::config::ResolverConfig;
use hickory_resolver::proto::rr::Name;

/// The names to look up, in order, as the C library does: a name with fewer than `ndots` dots is
/// looked for in the search list first.
pub(super) fn candidates(name: &Name, config: &ResolverConfig, ndots: usize) -> Vec<Name> {
    let mut whole = name.clone();
    whole.set_fqdn(true);
    if name.is_fqdn() || name.is_localhost() {
        return vec![whole];
    }
    let domains = config.domain().into_iter().chain(config.search());
    let found = domains.filter_map(|domain| name.clone().append_domain(domain).ok());
    let mut names: Vec<Name> = found.collect();
    // `ndots: 1` is one dot between two labels.
    let at = if usize::from(name.num_labels()) > ndots { 0 } else { names.len() };
    names.insert(at, whole);
    let mut unique = Vec::with_capacity(names.len());
    names.into_iter().for_each(|name| match unique.contains(&name) {
        true => {}
        false => unique.push(name),
    });
    unique
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_list_comes_first_for_names_of_few_labels() {
        let name = |text: &str| Name::from_utf8(text).unwrap();
        let search = ["ns.svc.cluster.local.", "svc.cluster.local."].map(name).to_vec();
        let config = ResolverConfig::from_parts(None, search, Vec::new());
        let names = |text: &str, ndots| -> Vec<String> {
            candidates(&name(text), &config, ndots).iter().map(Name::to_string).collect()
        };
        let searched = ["orders.ns.svc.cluster.local.", "orders.svc.cluster.local.", "orders."];
        assert_eq!(names("orders", 1), searched);
        assert_eq!(names("orders.shop", 5)[2], "orders.shop.");
        assert_eq!(names("orders.shop", 1)[0], "orders.shop.");
        assert_eq!(names("orders.shop", 1).len(), 3);
        assert_eq!(names("orders.", 5), ["orders."]);
        assert_eq!(names("localhost", 5), ["localhost."]);
    }
}
