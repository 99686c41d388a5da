use std::cmp::Reverse;

use proptest::prelude::*;

use super::*;

/// A generated request.
#[derive(Clone, Debug)]
struct Drawn {
    authority: String,
    path: String,
    query: Option<String>,
    method: &'static str,
    grpc: bool,
    fields: Vec<(&'static str, &'static str)>,
}

/// The specification as a naive search: which rows match, and how specific each is.
fn naive(rows: &[Match], asked: &Drawn) -> Option<usize> {
    let Drawn { path, grpc, .. } = asked;
    let host = match asked.authority.strip_prefix('[') {
        Some(rest) => format!("[{}]", rest.split(']').next().unwrap()),
        None => {
            let host = asked.authority.split(':').next().unwrap().to_lowercase();
            host.strip_suffix('.').map(String::from).unwrap_or(host)
        }
    };
    let segments = |text: &str| text.split('/').map(String::from).collect::<Vec<_>>();
    let is_call = *grpc && path.matches('/').count() >= 2;
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
            PathMatch::Regex(r) if r.matches(path.as_bytes()) => (2, 0),
            PathMatch::GrpcRegex(r) if is_call && r.matches(&path.as_bytes()[1..]) => (2, 0),
            PathMatch::GrpcService(p) if *grpc && path.starts_with(&format!("{p}/")) => (3, 0),
            PathMatch::Exact(p) if **p == **path => (4, 0),
            PathMatch::GrpcMethod(p) if *grpc && **p == **path => (5, 0),
            _ => return None,
        };
        let Conditions { method, headers, query } = &row.conditions;
        if method.as_ref().is_some_and(|method| **method != *asked.method) {
            return None;
        }
        let joined = |name: &str| {
            let values = asked.fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| *v);
            let values: Vec<&str> = values.collect();
            (!values.is_empty()).then(|| values.join(","))
        };
        let first = |name: &str| {
            let pairs = asked.query.iter().flat_map(|q| q.split('&'));
            let mut pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
            pairs.find(|(n, _)| *n == name).map(|(_, v)| v.to_owned())
        };
        let all = headers.iter().all(|h| holds(&h.value, joined(&h.name)))
            && query.iter().all(|q| holds(&q.value, first(&q.name)));
        all.then_some((by_host, by_path, method.is_some(), headers.len(), query.len()))
    };
    let ranked = rows.iter().enumerate().filter_map(|(i, row)| Some((rank(row)?, Reverse(i))));
    ranked.max().map(|(_, Reverse(i))| i)
}

fn holds(asked: &ValueMatch, value: Option<String>) -> bool {
    match (asked, value) {
        (ValueMatch::Absent, value) => value.is_none(),
        (_, None) => false,
        (ValueMatch::Present, Some(_)) => true,
        (ValueMatch::Exact(text), Some(value)) => **text == *value,
        (ValueMatch::Prefix(text), Some(value)) => value.starts_with(&**text),
        (ValueMatch::Regex(regex), Some(value)) => regex.matches(value.as_bytes()),
    }
}

fn any_value() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        "[01]{0,2}".prop_map(|text| ValueMatch::Exact(text.into())),
        "[01],[01]".prop_map(|text| ValueMatch::Exact(text.into())),
        "[01]".prop_map(|text| ValueMatch::Prefix(text.into())),
        "[01]\\*[01]".prop_map(|text| ValueMatch::Regex(regex(&text))),
        Just(ValueMatch::Present),
        Just(ValueMatch::Absent),
    ]
}

fn any_fields(names: &'static [&'static str]) -> impl Strategy<Value = Box<[FieldMatch]>> {
    let some = prop::sample::subsequence(names, 0..=names.len());
    let some = some.prop_flat_map(|names| {
        let values = prop::collection::vec(any_value(), names.len());
        values.prop_map(move |values| {
            let fields = names.iter().zip(values);
            fields.map(|(name, value)| FieldMatch { name: (*name).into(), value }).collect()
        })
    });
    prop_oneof![2 => Just(Box::default()), 1 => some]
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
        "/[ab]\\*/?[ab]".prop_map(|text| PathMatch::Regex(regex(&text))),
        "[ab]\\*/[ab]".prop_map(|text| PathMatch::GrpcRegex(regex(&text))),
    ];
    let method = prop_oneof![3 => Just(None), 1 => Just(Some("GET")), 1 => Just(Some("POST"))];
    let conditions = (method, any_fields(&["x", "y"]), any_fields(&["q", "r"]));
    (host, path, conditions).prop_map(|(host, path, (method, headers, query))| Match {
        host,
        path,
        conditions: Conditions { method: method.map(Box::from), headers, query },
    })
}

fn any_request() -> impl Strategy<Value = Drawn> {
    let fields = prop::collection::vec(
        (
            prop::sample::select(&["x", "y", "z"][..]),
            prop::sample::select(&["", "0", "1", "01"][..]),
        ),
        0..4,
    );
    (
        "(([abAB]\\.){0,4}[ab]\\.?|\\[::1\\])?(:8)?",
        "(/[ab]{0,2}(\\.[ab])?){0,3}/?",
        prop::option::of("([qr]=?[01]{0,2}&?){0,3}"),
        prop::sample::select(&["GET", "POST", "PUT"][..]),
        any::<bool>(),
        fields,
    )
        .prop_map(|(authority, path, query, method, grpc, fields)| Drawn {
            authority,
            path,
            query,
            method,
            grpc,
            fields,
        })
}

fn with_query<T>(asked: &Drawn, ask: impl FnOnce(&RouteQuery<'_>) -> T) -> T {
    let path = match &asked.query {
        Some(query) => format!("{}?{query}", asked.path),
        None => asked.path.clone(),
    };
    ask(&RouteQuery {
        authority: asked.authority.as_bytes(),
        path: path.as_bytes(),
        method: asked.method.as_bytes(),
        grpc: asked.grpc,
        fields: &asked.fields,
    })
}

fn find(table: &RouteTable, asked: &Drawn) -> Option<usize> {
    with_query(asked, |query| ask(table, query))
}

proptest! {
    #[test]
    fn agrees_with_the_naive_search(
        rows in prop::collection::vec(any_match(), 0..24),
        requests in prop::collection::vec(any_request(), 1..32),
    ) {
        let mut table = RouteTableBuilder::default();
        let mut kept: Vec<Match> = Vec::new();
        for row in rows {
            let earlier = kept.iter().position(|k| *k == row).map(InsertError::Duplicate);
            prop_assert_eq!(table.insert(None, row.clone(), to(kept.len()), SourceLocation::default()).err(), earlier.clone());
            if earlier.is_none() {
                kept.push(row);
            }
        }
        let table = table.finish();
        for asked in &requests {
            let expected = naive(&kept, asked);
            prop_assert_eq!(find(&table, asked), expected, "{:?}", asked);
            let taken = with_query(asked, |query| table.explain(query, 3).taken.map(|t| t.number));
            prop_assert_eq!(taken.map(|number| number as usize), expected, "{:?}", asked);
        }
    }

    #[test]
    fn hostile_requests_do_no_harm(
        rows in prop::collection::vec(any_match(), 0..24),
        authority in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..300),
        value in prop::collection::vec(any::<u8>(), 0..300),
        grpc in any::<bool>(),
    ) {
        let mut table = RouteTableBuilder::default();
        for row in rows {
            let _ = table.insert(None, row, to(0), SourceLocation::default());
        }
        let fields = vec![("x", value)];
        let query =
            RouteQuery { authority: &authority, path: &path, method: b"GET", grpc, fields: &fields };
        let table = table.finish();
        let found = table.find_numbered(&query).map(|(number, _)| number);
        let taken = table.explain(&query, 3).taken.map(|taken| taken.number as usize);
        prop_assert_eq!(found, taken);
    }
}
