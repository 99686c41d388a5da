use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn host(text: &str) -> HostMatch {
    HostMatch::parse(text).unwrap()
}

fn table(rows: &[(&str, PathMatch)]) -> RouteTable {
    let mut table = RouteTable::default();
    for (number, (name, path)) in rows.iter().enumerate() {
        let host = if name.is_empty() { HostMatch::Any } else { host(name) };
        let path = path.clone();
        table.insert(&Match { host, path }, Route::to(number)).unwrap();
    }
    table
}

fn find(table: &RouteTable, authority: &str, path: &str, grpc: bool) -> Option<usize> {
    let query = RouteQuery { authority: authority.as_bytes(), path: path.as_bytes(), grpc };
    let route = table.find(&query)?;
    Some(route.choose(&mut fastrand::Rng::with_seed(1)))
}

#[test]
fn the_most_specific_path_wins() {
    let table = table(&[
        ("", PathMatch::Any),
        ("", PathMatch::prefix("/shop.Orders").unwrap()),
        ("", PathMatch::grpc("shop.Orders").unwrap()),
        ("", PathMatch::exact("/shop.Orders/List").unwrap()),
        ("", PathMatch::grpc("shop.Orders/Get").unwrap()),
        ("", PathMatch::exact("/shop.Orders/Get").unwrap()),
        ("", PathMatch::prefix("/").unwrap()),
    ]);
    assert_eq!(find(&table, "h", "/shop.Orders/Get", true), Some(4));
    assert_eq!(find(&table, "h", "/shop.Orders/Get", false), Some(5));
    assert_eq!(find(&table, "h", "/shop.Orders/List?page=2", true), Some(3));
    assert_eq!(find(&table, "h", "/shop.Orders/Put", true), Some(2));
    assert_eq!(find(&table, "h", "/shop.Orders/Put", false), Some(1));
    assert_eq!(find(&table, "h", "/shop.Orders", true), Some(1));
    assert_eq!(find(&table, "h", "/other", true), Some(6));
    assert_eq!(find(&table, "h", "*", false), Some(0));
    assert_eq!(find(&table, "h", "", true), Some(6));
}

#[test]
fn prefixes_end_at_segments() {
    let table = table(&[("", PathMatch::prefix("/api/").unwrap())]);
    for path in ["/api", "/api/", "/api/x", "/api?q", "/api/x?y/z"] {
        assert_eq!(find(&table, "", path, false), Some(0), "{path}");
    }
    for path in ["/apix", "/ap", "/", "", "/x/api", "/API"] {
        assert_eq!(find(&table, "", path, false), None, "{path}");
    }
}

#[test]
fn hosts_are_compared_without_port_and_case() {
    let table = table(&[
        ("Shop.Example", PathMatch::Any),
        ("*.shop.example", PathMatch::Any),
        ("*.eu.shop.example", PathMatch::Any),
        ("[::1]", PathMatch::Any),
        ("10.0.0.1", PathMatch::Any),
    ]);
    for (authority, route) in [
        ("shop.example", Some(0)),
        ("SHOP.example:8080", Some(0)),
        ("a.shop.example", Some(1)),
        ("a.b.Shop.example:1", Some(1)),
        ("eu.shop.example", Some(1)),
        ("x.eu.shop.example", Some(2)),
        ("[::1]", Some(3)),
        ("[::1]:443", Some(3)),
        ("10.0.0.1:80", Some(4)),
        (".shop.example", None),
        ("ashop.example", None),
        ("example", None),
        ("", None),
        ("[::1", None),
        (":", None),
    ] {
        assert_eq!(find(&table, authority, "/", false), route, "{authority}");
    }
    let long = format!("{}.shop.example", "a".repeat(300));
    assert_eq!(find(&table, &long, "/", false), None);
}

#[test]
fn a_host_without_a_matching_route_gives_way() {
    let table = table(&[
        ("a.shop.example", PathMatch::exact("/x").unwrap()),
        ("*.shop.example", PathMatch::prefix("/api").unwrap()),
        ("", PathMatch::Any),
    ]);
    assert_eq!(find(&table, "a.shop.example", "/x", false), Some(0));
    assert_eq!(find(&table, "a.shop.example", "/api", false), Some(1));
    assert_eq!(find(&table, "a.shop.example", "/y", false), Some(2));
}

#[test]
fn the_same_match_twice_names_the_first() {
    let mut table = table(&[("", PathMatch::Any), ("a.b", PathMatch::prefix("/x").unwrap())]);
    let again = Match { host: host("A.B"), path: PathMatch::prefix("/x/").unwrap() };
    assert_eq!(table.insert(&again, Route::to(9)), Err(1));
    assert_eq!(table.len(), 2);
}

#[test]
fn wrong_matches_say_how_to_mend_them() {
    for (result, says) in [
        (HostMatch::parse("*").err(), "leave `host` out"),
        (HostMatch::parse("a.b:80").err(), "port"),
        (HostMatch::parse("a..b").err(), "not a host"),
        (HostMatch::parse("").err(), "not a host"),
        (HostMatch::parse("a.*.b").err(), "not a host"),
        (HostMatch::parse("[::1]:80").err(), "without port"),
        (PathMatch::exact("x").err(), "start it with `/`"),
        (PathMatch::exact("/x?y").err(), "query"),
        (PathMatch::prefix("/a b").err(), "percent-encode"),
        (PathMatch::grpc("/a.B").err(), "write it as `a.B`"),
        (PathMatch::grpc("a.B/").err(), "not a gRPC name"),
        (PathMatch::grpc("a.B/C/D").err(), "not a gRPC name"),
        (PathMatch::grpc("a..B").err(), "not a gRPC name"),
        (PathMatch::grpc("").err(), "not a gRPC name"),
    ] {
        let message = result.unwrap();
        assert!(message.contains(says), "{message}");
    }
}

#[test]
fn a_split_follows_its_weights() {
    let route = Route::split([(7, 90), (8, 0), (9, 10)]).unwrap();
    let mut rng = fastrand::Rng::with_seed(42);
    let mut counts = HashMap::new();
    for _ in 0..100_000 {
        *counts.entry(route.choose(&mut rng)).or_insert(0u32) += 1;
    }
    assert_eq!(counts.len(), 2);
    // Standard deviation: 95; six of them.
    assert!(counts[&9].abs_diff(10_000) < 570, "{counts:?}");
    assert_eq!(Route::split([(1, 0)]), None);
    assert_eq!(Route::split([]), None);
}

/// The specification, rule by rule: what a match asks for, and how specific it is.
fn naive(rows: &[Match], authority: &str, path: &str, grpc: bool) -> Option<usize> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => format!("[{}]", rest.split(']').next().unwrap()),
        None => authority.split(':').next().unwrap().to_lowercase(),
    };
    let path = path.split('?').next().unwrap();
    let segments = |text: &str| text.split('/').map(String::from).collect::<Vec<_>>();
    let rank = |row: &Match| {
        let by_host = match &row.host {
            HostMatch::Any => 0,
            HostMatch::Exact(name) if **name == *host => usize::MAX,
            HostMatch::Below(name)
                if host.ends_with(&format!(".{name}")) && host.len() > name.len() + 1 =>
            {
                1 + name.len()
            }
            _ => return None,
        };
        let by_path = match &row.path {
            PathMatch::Any => (0, 0),
            PathMatch::Prefix(p) if segments(path).starts_with(&segments(p)) => (1, p.len()),
            PathMatch::GrpcService(p) if grpc && path.starts_with(&format!("{p}/")) => (2, 0),
            PathMatch::Exact(p) if **p == *path => (3, 0),
            PathMatch::GrpcMethod(p) if grpc && **p == *path => (4, 0),
            _ => return None,
        };
        Some((by_host, by_path))
    };
    let ranked = rows.iter().enumerate().filter_map(|(i, row)| Some((rank(row)?, i)));
    ranked.max().map(|(_, i)| i)
}

fn any_match() -> impl Strategy<Value = Match> {
    let host = prop_oneof![
        Just(HostMatch::Any),
        "(\\*\\.)?([ab]\\.){0,3}[ab]".prop_map(|text| host(&text)),
        Just(host("[::1]")),
    ];
    let path = prop_oneof![
        Just(PathMatch::Any),
        "(/[ab]{0,2}){1,3}".prop_map(|text| PathMatch::exact(&text).unwrap()),
        "(/[ab]{1,2}){0,3}/?".prop_map(|text| {
            PathMatch::prefix(if text.is_empty() { "/" } else { &text }).unwrap()
        }),
        "[ab](\\.[ab])?(/[ab])?".prop_map(|text| PathMatch::grpc(&text).unwrap()),
    ];
    (host, path).prop_map(|(host, path)| Match { host, path })
}

proptest! {
    #[test]
    fn agrees_with_the_naive_search(
        rows in prop::collection::vec(any_match(), 0..24),
        queries in prop::collection::vec(
            ("(([abAB]\\.){0,4}[ab]|\\[::1\\])?(:8)?", "(/[ab]{0,2}(\\.[ab])?){0,3}/?(\\?[ab/]*)?", any::<bool>()),
            1..32,
        ),
    ) {
        let mut table = RouteTable::default();
        let mut kept: Vec<Match> = Vec::new();
        for row in rows {
            let earlier = kept.iter().position(|k| *k == row);
            prop_assert_eq!(table.insert(&row, Route::to(kept.len())).err(), earlier);
            if earlier.is_none() {
                kept.push(row);
            }
        }
        for (authority, path, grpc) in &queries {
            let expected = naive(&kept, authority, path, *grpc);
            prop_assert_eq!(find(&table, authority, path, *grpc), expected, "{} {}", authority, path);
        }
    }

    #[test]
    fn hostile_queries_do_no_harm(
        rows in prop::collection::vec(any_match(), 0..24),
        authority in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..300),
        grpc in any::<bool>(),
    ) {
        let mut table = RouteTable::default();
        for row in rows {
            let _ = table.insert(&row, Route::to(0));
        }
        table.find(&RouteQuery { authority: &authority, path: &path, grpc });
    }
}
