use super::*;

fn header(value: &str) -> Conditions {
    let field = FieldMatch { name: "x".into(), value: ValueMatch::Exact(value.into()) };
    Conditions { headers: [field].into(), ..Conditions::default() }
}

/// Index and reason of the route taken, and of the near misses.
fn explained(
    table: &RouteTable,
    query: &RouteQuery<'_>,
    most: usize,
) -> (Option<u32>, Vec<(u32, String)>) {
    let explanation = table.explain(query, most);
    let taken = explanation.taken.map(|taken| {
        assert_eq!(taken.why, Why::Taken);
        assert_eq!(taken.place, SourceLocation { line: taken.number + 1, column: 5 });
        taken.number
    });
    let near = explanation.near.iter().map(|near| (near.number, near.why.to_string()));
    (taken, near.collect())
}

fn table() -> RouteTable {
    let any = Match::default;
    let prefix = || PathMatch::prefix("/a").unwrap();
    let rows = [
        any(),
        Match { path: prefix(), ..any() },
        Match { path: prefix(), conditions: header("1"), ..any() },
        Match { path: PathMatch::grpc("a/B").unwrap(), ..any() },
        Match { host: host("a.example"), path: prefix(), ..any() },
        Match { host: host("*.example"), path: PathMatch::exact("/b").unwrap(), ..any() },
        Match {
            path: PathMatch::Regex(regex("/a/[0-9]+")),
            conditions: Conditions { method: Some("PUT".into()), ..header("1") },
            ..any()
        },
    ];
    let mut table = RouteTableBuilder::default();
    for (number, matched) in rows.into_iter().enumerate() {
        let place = SourceLocation { line: number as u32 + 1, column: 5 };
        table.insert(None, matched, to(number), place).unwrap();
    }
    table.finish()
}

fn asks<'a>(host: &'a str, path: &'a str, fields: &'a dyn Fields) -> RouteQuery<'a> {
    let (authority, path) = (host.as_bytes(), path.as_bytes());
    RouteQuery { authority, path, method: b"GET", grpc: false, fields }
}

#[test]
fn every_near_miss_has_its_reason() {
    let table = table();
    let near = |number: u32, why: &str| (number, why.to_owned());
    assert_eq!(
        explained(&table, &asks("h", "/a/B", &()), 10),
        (
            Some(1),
            vec![
                near(2, "asks for header x: \"1\""),
                near(0, "matches too, but is less specific"),
                near(3, "asks for a gRPC request"),
                near(4, "asks for another host"),
                near(6, "asks for a path that matches /a/[0-9]+"),
            ]
        )
    );
    let fields = vec![("x", "1")];
    assert_eq!(
        explained(&table, &asks("a.example", "/a/7", &fields), 10),
        (
            Some(4),
            vec![
                near(6, "asks for method PUT"),
                near(2, "matches too, but is less specific"),
                near(1, "matches too, but is less specific"),
                near(0, "matches too, but is less specific"),
            ]
        )
    );
    assert_eq!(
        explained(&table, &asks("h", "/b", &()), 1),
        (Some(0), vec![near(5, "asks for another host")])
    );
    assert_eq!(explained(&table, &asks("h", "/a/B", &()), 0), (Some(1), vec![]));
}

#[test]
fn without_a_route_the_near_ones_are_all_there_is() {
    let table = of([
        Match { host: host("a.example"), ..Match::default() },
        Match { path: PathMatch::grpc("a/B").unwrap(), ..Match::default() },
    ]);
    let explanation = table.explain(&asks("b.example", "/a/B", &()), 10);
    assert!(explanation.taken.is_none());
    let why: Vec<_> = explanation.near.iter().map(|near| (near.number, near.why)).collect();
    assert_eq!(why, [(1, Why::NotGrpc), (0, Why::Host)]);
}

#[test]
fn filters_are_put_into_words() {
    let filters = Filters {
        path: Some(PathRewrite::Prefix { matched: 2, with: "/v2".into() }),
        host: Some("x.internal".into()),
        request: vec![
            HeaderEdit::Set("a".into(), "1".into()),
            HeaderEdit::Add("b".into(), "2".into()),
        ],
        response: vec![HeaderEdit::Remove("c".into())],
    };
    assert_eq!(
        filters.in_words(),
        [
            "rewrite prefix to /v2",
            "rewrite host to x.internal",
            "request: set a: 1",
            "request: add b: 2",
            "response: remove c",
        ]
    );
    let redirect = Redirect {
        scheme: Some("https"),
        host: Some("x".into()),
        port: Some(8443),
        path: Some(PathRewrite::Full("/y".into())),
        status: RedirectStatus::Permanent,
    };
    assert_eq!(redirect.to_string(), "308, scheme https, host x, port 8443, path to /y");
}
