//! Derived and given names of routes.

use super::routes::with;
use super::*;

/// The names of routes, in order.
#[track_caller]
fn named(routes: &[&str]) -> Vec<String> {
    let routes: String = routes.iter().map(|route| format!("  - {route}\n")).collect();
    let services = "  orders: { endpoints: [ { address: a:1 } ] }\n  carts:";
    let text = with(&routes).replace("  orders:", services);
    let plan = parse(&text, Path::new("")).unwrap_or_else(|report| panic!("{report}"));
    plan.routes.names().map(String::from).collect()
}

#[test]
fn an_unnamed_route_has_a_derived_name() {
    for (route, name) in [
        ("{ service: orders }", "orders"),
        ("{ match: { host: Shop.Example }, service: orders }", "orders:shop.example"),
        ("{ match: { host: '*.shop.example' }, service: orders }", "orders:*.shop.example"),
        ("{ match: { grpc: shop.Orders }, service: orders }", "orders:shop.Orders/*"),
        ("{ match: { grpc: shop.Orders/Get }, service: orders }", "orders:shop.Orders/Get"),
        ("{ match: { path: /shop.Orders/Get }, service: orders }", "orders:/shop.Orders/Get"),
        ("{ match: { host: h, path_prefix: /a/ }, service: carts }", "carts:h:/a/*"),
        ("{ match: { path: '/a/*' }, service: carts }", "carts:/a/-~"),
        ("{ match: { path_regex: '/v[0-9]+' }, service: carts }", "carts:/v-0-9-~"),
        (
            "{ match: { method: GET, headers: { x-key: secret } }, service: carts }",
            "carts:GET:x-key~",
        ),
        ("{ match: { host: '[::1]' }, redirect: { host: h } }", "redirect:-1-~"),
        ("{ split: [ { service: orders, weight: 9 }, { service: carts } ] }", "carts+orders"),
        ("{ split: [ { service: carts, weight: 0 }, { service: orders } ] }", "carts+orders"),
    ] {
        let seen = &named(&[route])[0];
        let expected = match name.split_once('~') {
            Some((begins, _)) => seen.starts_with(begins) && seen.len() == begins.len() + 11,
            None => seen == name,
        };
        assert!(expected, "{route}: {seen}");
        assert!(crate::route::check_name(seen).is_ok(), "{seen}");
    }
    let long = format!("{{ match: {{ path: /{} }}, service: orders }}", "x".repeat(1000));
    assert_eq!(named(&[&long])[0].len(), crate::route::MAX_NAME);
}

#[test]
fn names_do_not_depend_on_other_routes() {
    let route = |asked: String| format!("{{ match: {{ {asked} }}, service: orders }}");
    let mut routes: Vec<String> = (0..40)
        .flat_map(|n| {
            let header = format!("path: /{n}, headers: {{ a: '{n}', b: {{ prefix: x }} }}");
            let sorted = format!("path: /y/{n}, query: {{ q: {{ regex: '{n}.' }} }}");
            [
                route(format!("path: /{n}")),
                route(format!("grpc_regex: 'a{n}.*'")),
                route(header),
                route(sorted),
            ]
        })
        .collect();
    let all = |routes: &[String]| {
        let routes: Vec<&str> = routes.iter().map(String::as_str).collect();
        named(&routes)
    };
    let before: HashMap<String, String> = routes.iter().cloned().zip(all(&routes)).collect();
    let names: std::collections::HashSet<_> = before.values().collect();
    assert_eq!(names.len(), routes.len(), "each has its own");
    routes.reverse();
    routes.rotate_left(13);
    routes.truncate(100);
    routes.insert(7, route("path: /new".into()));
    for (route, name) in routes.iter().zip(all(&routes)) {
        assert_eq!(*before.get(route).unwrap_or(&name), name, "{route}");
    }
    // The same match has the same name, however it is written.
    let [one, other] = [
        "{ match: { headers: { A: x, b: y }, path_prefix: /p }, service: orders }",
        "{ service: orders, match: { path_prefix: /p/, headers: { b: y, a: x } } }",
    ];
    assert_eq!(named(&[one]), named(&[other]));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let given = "{ name: checkout.v2, match: { path: /x }, service: carts }";
    assert_eq!(named(&[given]), ["checkout.v2"]);
    for name in ["'a b'", "-a", "'a\"b'", "\"a\\nb\"", "é", "''", "'{a}'", "a=b", &"x".repeat(129)]
    {
        let route = with(&format!("  - {{ name: {name}, service: orders }}"));
        refused(&route, "10:13", &["route 1: ", "is not a name for a route", "1 to 128"]);
    }
    let taken =
        "  - { name: a, service: orders }\n  - { match: { path: /x }, name: a, service: orders }";
    refused(
        &with(taken),
        "11:34",
        &[
            "route `a`: two routes are called `a`, first in line 10; give one of them another `name`",
        ],
    );
    // A given name may equal a derived one, in either order.
    let (plain, thief) =
        ("{ service: orders }", "{ name: orders, match: { path: /x }, service: orders }");
    for (routes, place) in [([plain, thief], "11:13"), ([thief, plain], "11:5")] {
        let text = with(&format!("  - {}\n  - {}", routes[0], routes[1]));
        refused(&text, place, &["two routes are called `orders`", "first in line 10"]);
    }
    assert_eq!(named(&["{ name: all, service: orders }", thief]), ["all", "orders"]);
}

#[test]
fn errors_of_a_route_name_it() {
    let route = "  - { name: checkout, match: { grpc: /a.B }, service: order }";
    let all = errors(&with(route));
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all.iter().all(|error| error.contains(": route `checkout`: ")), "{all:?}");
    refused(
        &with("  - { match: { path: /x }, service: orders, mirorr: {} }"),
        "10:45",
        &["route `orders:/x`: unknown key `mirorr`"],
    );
    refused(
        &with("  - { match: { path: x }, service: orders }"),
        "10:22",
        &["route 1: `x` is not"],
    );
    // Two routes that alias the same mapping share its error.
    let shared =
        "  - { match: &m { path: x }, service: orders }\n  - { match: *m, service: orders }";
    refused(&with(shared), "10:25", &["route 1: `x` is not a path"]);
}
