use super::*;

fn asks(name: &str, value: ValueMatch) -> FieldMatch {
    FieldMatch { name: name.into(), value }
}

fn exact(text: &str) -> ValueMatch {
    ValueMatch::Exact(text.into())
}

fn prefix(text: &str) -> ValueMatch {
    ValueMatch::Prefix(text.into())
}

fn holds(conditions: Conditions, path: &str, fields: &[(&str, &str)]) -> bool {
    let fields = fields.to_vec();
    let table = of([Match { conditions, ..Match::default() }]);
    let path = path.as_bytes();
    let query = RouteQuery { authority: b"h", path, method: b"GET", grpc: false, fields: &fields };
    ask(&table, &query).is_some()
}

#[test]
fn headers() {
    for (value, header, expected) in [
        (exact("1"), &["1"][..], true),
        (exact("1"), &["2"], false),
        (exact("1"), &["12"], false),
        (exact("12"), &["1"], false),
        (exact("1"), &[], false),
        (exact(""), &[""], true),
        (exact(""), &[], false),
        (exact("A"), &["a"], false),
        (exact("a,b"), &["a", "b"], true),
        (exact("a"), &["a", "b"], false),
        (exact("b"), &["a", "b"], false),
        (exact("a,,b"), &["a", "", "b"], true),
        (prefix("ab"), &["abc"], true),
        (prefix("ab"), &["ab"], true),
        (prefix("ab"), &["a"], false),
        (prefix("ab"), &[], false),
        (prefix("a,b"), &["a", "bc"], true),
        (prefix("a"), &["a", "b"], true),
        (prefix("b"), &["a", "b"], false),
        (ValueMatch::Regex(regex("[0-9]+")), &["12"], true),
        (ValueMatch::Regex(regex("[0-9]+")), &["12x"], false),
        (ValueMatch::Regex(regex("[0-9]+")), &[], false),
        (ValueMatch::Regex(regex("a,b.*")), &["a", "b", "c"], true),
        (ValueMatch::Regex(regex("a*")), &[""], true),
        (ValueMatch::Present, &[""], true),
        (ValueMatch::Present, &[], false),
        (ValueMatch::Absent, &["x"], false),
        (ValueMatch::Absent, &[], true),
    ] {
        let mut fields = vec![("x-other", "1")];
        fields.extend(header.iter().map(|value| ("x-a", *value)));
        let headers = [asks("x-a", value.clone())].into();
        let conditions = Conditions { headers, ..Conditions::default() };
        assert_eq!(holds(conditions, "/", &fields), expected, "{value:?} {header:?}");
    }
}

#[test]
fn crumbs_of_a_cookie_are_one() {
    let headers = [asks("cookie", exact("a=1; b=2"))].into();
    let conditions = Conditions { headers, ..Conditions::default() };
    assert!(holds(conditions.clone(), "/", &[("cookie", "a=1"), ("cookie", "b=2")]));
    assert!(!holds(conditions, "/", &[("cookie", "a=1,b=2")]));
}

#[test]
fn query_parameters() {
    for (value, path, expected) in [
        (exact("1"), "/?q=1", true),
        (exact("1"), "/?p=2&q=1&r", true),
        (exact("1"), "/?q=2&q=1", false),
        (exact("1"), "/?q=1&q=2", true),
        (exact("1"), "/?Q=1", false),
        (exact("1"), "/?xq=1", false),
        (exact("1"), "/q=1", false),
        (exact("1"), "/", false),
        (exact("a b"), "/?q=a+b", true),
        (exact("a b"), "/?q=a%20b", true),
        (exact("\u{e9}&="), "/?q=%C3%a9%26=", true),
        (exact("%zz%4"), "/?q=%zz%4", true),
        (exact("%"), "/?q=%", true),
        (exact("1"), "/?%71=1", true),
        (exact(""), "/?q", true),
        (exact(""), "/?q=", true),
        (exact("a?b"), "/?q=a?b", true),
        (prefix("ab"), "/?q=a%62c", true),
        (prefix("ab"), "/?q=b", false),
        (ValueMatch::Regex(regex("[0-9]+ ?")), "/?q=12+", true),
        (ValueMatch::Regex(regex("[0-9]+")), "/?q=12a", false),
        (ValueMatch::Present, "/?a&q&b", true),
        (ValueMatch::Present, "/?", false),
        (ValueMatch::Absent, "/?&&", true),
        (ValueMatch::Absent, "/?q", false),
    ] {
        let query = [asks("q", value.clone())].into();
        let conditions = Conditions { query, ..Conditions::default() };
        assert_eq!(holds(conditions, path, &[]), expected, "{value:?} {path}");
    }
}

#[test]
fn methods() {
    for (method, expected) in [("GET", true), ("POST", false), ("GETS", false), ("get", false)] {
        let conditions = Conditions { method: Some(method.into()), ..Conditions::default() };
        assert_eq!(holds(conditions, "/", &[]), expected, "{method}");
    }
}

#[test]
fn all_of_several_have_to_hold() {
    let conditions = Conditions {
        method: Some("GET".into()),
        headers: [asks("a", exact("1")), asks("b", exact("2"))].into(),
        query: [asks("c", exact("3"))].into(),
    };
    assert!(holds(conditions.clone(), "/?c=3", &[("b", "2"), ("a", "1")]));
    assert!(!holds(conditions.clone(), "/?c=3", &[("a", "1")]));
    assert!(!holds(conditions, "/", &[("b", "2"), ("a", "1")]));
}

/// Pairs of rows that all match; the more specific one of each pair wins in either order.
#[test]
fn more_specific_conditions_take_precedence() {
    let get = || Some(Box::from("GET"));
    let fields = |names: &[&str]| names.iter().map(|n| asks(n, ValueMatch::Present)).collect();
    let none = || fields(&[]);
    let rows = [
        Conditions { method: get(), headers: fields(&["a"]), query: none() },
        Conditions { method: get(), headers: none(), query: fields(&["q"]) },
        Conditions { method: get(), headers: none(), query: none() },
        Conditions { method: None, headers: fields(&["a", "b"]), query: none() },
        Conditions { method: None, headers: fields(&["b"]), query: fields(&["p", "q"]) },
        Conditions { method: None, headers: fields(&["a"]), query: fields(&["q"]) },
        Conditions { method: None, headers: fields(&["a"]), query: none() },
        Conditions { method: None, headers: fields(&["b"]), query: none() },
        Conditions { method: None, headers: none(), query: fields(&["q"]) },
        Conditions::default(),
    ];
    let given = vec![("a", "1"), ("b", "1")];
    let path = b"/x?q=1&p=1";
    let query = RouteQuery { authority: b"", path, method: b"GET", grpc: false, fields: &given };
    for (better, more) in rows.iter().enumerate() {
        for (worse, less) in rows.iter().enumerate().skip(better + 1) {
            let of = |rows: [&Conditions; 2]| {
                of(rows.map(|c| Match { conditions: c.clone(), ..Match::default() }))
            };
            assert_eq!(ask(&of([more, less]), &query), Some(0), "{better} {worse}");
            // Two of equal specificity: the first in the file wins.
            let expected = usize::from(more.rank() != less.rank());
            assert_eq!(ask(&of([less, more]), &query), Some(expected), "{better} {worse}");
        }
    }
}

/// A longer path takes precedence over more conditions, and is passed over if its own do not hold.
#[test]
fn conditions_are_asked_where_the_path_is_found() {
    let row = |path: &str, header: Option<&str>| {
        let headers = header.iter().map(|value| asks("x", exact(value))).collect();
        Match {
            path: PathMatch::prefix(path).unwrap(),
            conditions: Conditions { headers, ..Conditions::default() },
            host: HostMatch::Any,
        }
    };
    let table =
        of([row("/a", Some("1")), row("/a/b", Some("2")), row("/a/b", None), row("/", None)]);
    let ask = |path: &str, x: &str| {
        let (path, fields) = (path.as_bytes(), vec![("x", x)]);
        ask(
            &table,
            &RouteQuery { authority: b"", path, method: b"GET", grpc: false, fields: &fields },
        )
    };
    assert_eq!(ask("/a/b", "1"), Some(2));
    assert_eq!(ask("/a/b", "2"), Some(1));
    assert_eq!(ask("/a/c", "1"), Some(0));
    assert_eq!(ask("/a/c", "2"), Some(3));
}
