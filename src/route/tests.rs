mod conditions;
mod explain;
mod filters;
mod reference;
mod split;

use super::*;

fn host(text: &str) -> HostMatch {
    HostMatch::parse(text).unwrap()
}

fn regex(text: &str) -> Pattern {
    Pattern::new(text).unwrap()
}

/// Forwards to the service of this index alone.
fn to(service: usize) -> Route {
    let share = Share::new(service, &format!("s{service}"), 1);
    Route::Forward(Forward::to(Split::new([share])))
}

/// A table of these matches; each route forwards to the service of its own index.
fn of(rows: impl IntoIterator<Item = Match>) -> RouteTable {
    let mut table = RouteTableBuilder::default();
    for (number, matched) in rows.into_iter().enumerate() {
        assert_eq!(table.insert(None, matched, to(number), SourceLocation::default()), Ok(number));
    }
    table.finish()
}

fn table(rows: &[(&str, PathMatch)]) -> RouteTable {
    of(rows.iter().map(|(name, path)| {
        let host = if name.is_empty() { HostMatch::Any } else { host(name) };
        Match { host, path: path.clone(), ..Match::default() }
    }))
}

/// The index of the route that is found.
fn ask(table: &RouteTable, query: &RouteQuery<'_>) -> Option<usize> {
    match table.find(query)? {
        Route::Forward(forward) => Some(forward.split.shares()[0].service),
        Route::Redirect(_) => panic!("there is no redirect"),
    }
}

fn find(table: &RouteTable, authority: &str, path: &str, grpc: bool) -> Option<usize> {
    let (authority, path) = (authority.as_bytes(), path.as_bytes());
    ask(table, &RouteQuery { authority, path, method: b"POST", grpc, fields: &() })
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
        ("", PathMatch::Regex(regex("/shop.Orders.*"))),
        ("", PathMatch::GrpcRegex(regex("[a-z]+\\.Carts/(Get|List)"))),
    ]);
    assert_eq!(find(&table, "h", "/shop.Orders/Get", true), Some(4));
    assert_eq!(find(&table, "h", "/shop.Orders/Get", false), Some(5));
    assert_eq!(find(&table, "h", "/shop.Orders/List?page=2", true), Some(3));
    assert_eq!(find(&table, "h", "/shop.Orders/Put", true), Some(2));
    assert_eq!(find(&table, "h", "/shop.Orders/Put", false), Some(6));
    assert_eq!(find(&table, "h", "/shop.Orders?x", true), Some(6));
    assert_eq!(find(&table, "h", "/shop.Carts/Get?x", true), Some(7));
    assert_eq!(find(&table, "h", "/shop.Carts/Get", false), Some(0));
    assert_eq!(find(&table, "h", "/shop.Carts/Gets", true), Some(0));
    assert_eq!(find(&table, "h", "/other", true), Some(0));
    assert_eq!(find(&table, "h", "*", false), Some(0));
    assert_eq!(find(&table, "h", "", true), Some(0));
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
fn hosts_are_compared_without_port_case_and_last_dot() {
    let table = table(&[
        ("Shop.Example", PathMatch::Any),
        ("*.shop.example", PathMatch::Any),
        ("*.eu.shop.example", PathMatch::Any),
        ("[::1]", PathMatch::Any),
        ("10.0.0.1", PathMatch::Any),
        ("Dotted.example.", PathMatch::Any),
        ("*.dotted.example.", PathMatch::Any),
    ]);
    for (authority, route) in [
        ("shop.example.", Some(0)),
        ("SHOP.example.:8080", Some(0)),
        ("a.shop.example.", Some(1)),
        ("x.eu.shop.example.:1", Some(2)),
        ("dotted.example", Some(5)),
        ("dotted.EXAMPLE.:80", Some(5)),
        ("a.dotted.example", Some(6)),
        ("a.dotted.example.", Some(6)),
        ("shop.example..", None),
        (".", None),
        (".:80", None),
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
    let mut table = RouteTableBuilder::default();
    let matched = |name: &str, path: &str| Match {
        host: host(name),
        path: PathMatch::prefix(path).unwrap(),
        conditions: Conditions { method: Some("GET".into()), ..Conditions::default() },
    };
    assert_eq!(table.insert(None, matched("a.b", "/"), to(0), SourceLocation::default()), Ok(0));
    assert_eq!(table.insert(None, matched("a.b", "/x"), to(1), SourceLocation::default()), Ok(1));
    assert_eq!(
        table.insert(None, matched("A.B", "/x/"), to(2), SourceLocation::default()),
        Err(InsertError::Duplicate(1))
    );
    let other = Match { conditions: Conditions::default(), ..matched("a.b", "/x") };
    assert_eq!(table.insert(None, other, to(2), SourceLocation::default()), Ok(2));
    assert_eq!(table.finish().len(), 3);
}

#[test]
fn a_host_has_so_many_patterns_and_no_more() {
    let mut table = RouteTableBuilder::default();
    let pattern = |name: &str, number: usize| Match {
        host: host(name),
        path: PathMatch::Regex(regex(&format!("/{number}"))),
        ..Match::default()
    };
    for number in 0..MAX_PATTERNS {
        assert!(
            table.insert(None, pattern("a.b", number), to(0), SourceLocation::default()).is_ok()
        );
    }
    let more = table.insert(None, pattern("a.b", MAX_PATTERNS), to(0), SourceLocation::default());
    assert_eq!(more, Err(InsertError::TooManyPatterns));
    assert!(
        table.insert(None, pattern("b.b", MAX_PATTERNS), to(0), SourceLocation::default()).is_ok()
    );
}

#[test]
fn a_match_is_shown_as_one_writes_it() {
    let field = |name: &str, value| FieldMatch { name: name.into(), value };
    let matched = Match {
        host: host("*.shop.example"),
        path: PathMatch::prefix("/api/").unwrap(),
        conditions: Conditions {
            method: Some("GET".into()),
            headers: [
                field("x-canary", ValueMatch::Exact("1".into())),
                field("x-v", ValueMatch::Prefix("2.".into())),
                field("x-w", ValueMatch::Regex(regex("a\\d"))),
            ]
            .into(),
            query: [field("q", ValueMatch::Present), field("r", ValueMatch::Absent)].into(),
        },
    };
    let expected = "{ host: \"*.shop.example\", path_prefix: /api, method: GET, \
                    headers: { x-canary: \"1\", x-v: { prefix: \"2.\" }, x-w: { regex: \"a\\\\d\" } }, \
                    query: { q: { present: true }, r: { present: false } } }";
    assert_eq!(matched.to_string(), expected);
    assert_eq!(Match::default().to_string(), "{ }");
    for (path, shown) in [
        (PathMatch::grpc("a.B/C").unwrap(), "{ grpc: a.B/C }"),
        (PathMatch::grpc("a.B").unwrap(), "{ grpc: a.B }"),
        (PathMatch::exact("/a b".replace(' ', "%20").as_str()).unwrap(), "{ path: \"/a%20b\" }"),
        (PathMatch::Regex(regex("/a|b")), "{ path_regex: \"/a|b\" }"),
        (PathMatch::GrpcRegex(regex("a.*")), "{ grpc_regex: \"a.*\" }"),
    ] {
        assert_eq!(Match { path, ..Match::default() }.to_string(), shown);
    }
}

#[test]
fn wrong_matches_say_how_to_mend_them() {
    for (result, says) in [
        (HostMatch::parse("*").err(), "leave `host` out"),
        (HostMatch::parse("a.b:80").err(), "port"),
        (HostMatch::parse("a..b").err(), "not a host"),
        (HostMatch::parse("a..").err(), "not a host"),
        (HostMatch::parse(".").err(), "not a host"),
        (HostMatch::parse("*.").err(), "not a host"),
        (HostMatch::parse("*..").err(), "not a host"),
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
