use std::time::Duration;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

use super::*;

fn head(fields: &[(&str, &str)]) -> Headers {
    let mut head = Headers::new();
    for (name, value) in fields {
        head.add_named(name.as_bytes(), value.as_bytes());
    }
    head
}

fn issue() -> CookieIssue {
    CookieIssue { ttl: None, path: "/".into() }
}

/// The key of a request from 10.1.2.3 with these fields.
fn key(source: KeySource, fallback: Fallback, fields: &[(&str, &str)]) -> Option<Vec<u8>> {
    let (head, issued) = (head(fields), OnceCell::new());
    let rng = &RefCell::new(fastrand::Rng::with_seed(1));
    let key_cx = KeyContext {
        head: &head,
        source: Peer::Ip([10, 1, 2, 3].into()),
        affinity_cookie: &issued,
        rng,
    };
    let mut scratch = Vec::new();
    let key = key_cx.key(&KeySpec { source, fallback }, &mut scratch);
    key.map(|key| key.bytes().to_vec())
}

#[track_caller]
fn assert_key(source: KeySource, fields: &[(&str, &str)], expected: Option<&str>) {
    let found = key(source, Fallback::Random, fields);
    assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{fields:?}");
}

#[test]
fn a_header_is_read() {
    let user = || KeySource::Header("x-user".into());
    assert_key(user(), &[("x-users", "z"), ("x-user", "a b"), ("x-user", "c")], Some("a b"));
    assert_key(user(), &[("x-user", "")], None);
    assert_key(user(), &[], None);
}

#[test]
fn a_cookie_is_found_among_crumbs() {
    let sid = || KeySource::Cookie { name: "sid".into(), issue: None };
    for (fields, expected) in [
        (&[("cookie", "sid=1")][..], Some("1")),
        (&[("cookie", "a=b;  sid=1=2 ; sid=3")], Some("1=2")),
        (&[("cookie", "a=b"), ("cookie", "xsid=5; sid=\"7\"")], Some("\"7\"")),
        (&[("cookie", "sidx=1; SID=2; sid ; =sid")], None),
        (&[("cookie", "sid=")], None),
        (&[("cookies", "sid=1")], None),
        (&[], None),
    ] {
        assert_key(sid(), fields, expected);
    }
}

#[test]
fn a_parameter_is_found_in_the_query() {
    let user = || KeySource::Query("user".into());
    for (path, expected) in [
        ("/a?user=7", Some("7")),
        ("/a?x=1&user=a%20b&user=c", Some("a%20b")),
        ("/a?x=?user=1&user=2", Some("2")),
        ("/a?users=7&user", None),
        ("/a?user=", None),
        ("/user=7", None),
        ("/a?", None),
        ("", None),
    ] {
        assert_key(user(), &[(":path", path)], expected);
    }
}

#[test]
fn the_source_address_is_a_key_or_stands_for_one() {
    let octets = Some(vec![10, 1, 2, 3]);
    assert_eq!(key(KeySource::SourceAddress, Fallback::Random, &[]), octets);
    let user = || KeySource::Header("x-user".into());
    assert_eq!(key(user(), Fallback::SourceAddress, &[]), octets);
    let given = key(user(), Fallback::SourceAddress, &[("x-user", "a")]);
    assert_eq!(given.as_deref(), Some(&b"a"[..]));
    let (head, issued) = (head(&[]), OnceCell::new());
    let rng = &RefCell::new(fastrand::Rng::with_seed(1));
    let local = KeyContext { head: &head, source: Peer::Unix, affinity_cookie: &issued, rng };
    let spec = KeySpec { source: KeySource::SourceAddress, fallback: Fallback::Random };
    assert_eq!(local.key(&spec, &mut Vec::new()).unwrap().bytes(), b"unix");
}

#[test]
fn a_client_without_the_cookie_is_given_one_for_all_tries() {
    let source = KeySource::Cookie { name: "sid".into(), issue: Some(issue()) };
    let spec = KeySpec { source, fallback: Fallback::Random };
    let (head, issued) = (head(&[("cookie", "other=1; sid=")]), OnceCell::new());
    let rng = &RefCell::new(fastrand::Rng::with_seed(1));
    let key_cx = KeyContext { head: &head, source: Peer::Unix, affinity_cookie: &issued, rng };
    let (mut one, mut two) = (Vec::new(), Vec::new());
    let first = key_cx.key(&spec, &mut one).unwrap().bytes().to_vec();
    assert_eq!(key_cx.key(&spec, &mut two).unwrap().bytes(), first);
    assert!(first.len() == 32 && first.iter().all(u8::is_ascii_hexdigit), "{first:?}");
    let field = issued.get().unwrap().set_cookie("sid", &issue(), false);
    let value = String::from_utf8(first).unwrap();
    let expected = format!("sid={value}; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!(field.field().value, expected.as_bytes());
    // Who has one keeps it.
    assert_ne!(&AffinityCookie::draw(rng), issued.get().unwrap());
    let given = head_key(&spec, "sid=mine");
    assert_eq!(given, (b"mine".to_vec(), None));
}

fn head_key(spec: &KeySpec, cookie: &str) -> (Vec<u8>, Option<AffinityCookie>) {
    let (head, issued) = (head(&[("cookie", cookie)]), OnceCell::new());
    let rng = &RefCell::new(fastrand::Rng::with_seed(1));
    let mut scratch = Vec::new();
    let key_cx = KeyContext { head: &head, source: Peer::Unix, affinity_cookie: &issued, rng };
    let key = key_cx.key(spec, &mut scratch).unwrap().bytes().to_vec();
    (key, issued.into_inner())
}

#[test]
fn a_cookie_says_how_long_and_where_it_holds() {
    let issued = AffinityCookie(Box::new([b'f'; 32]));
    let issue = CookieIssue { ttl: Some(Duration::from_secs(3600)), path: "/shop".into() };
    let field = issued.set_cookie("sid", &issue, true);
    let text = std::str::from_utf8(field.field().value).unwrap();
    let value = "f".repeat(32);
    let expected = format!("sid={value}; Path=/shop; HttpOnly; SameSite=Lax; Max-Age=3600; Secure");
    assert_eq!(text, expected);
}

fn token(payload: &str) -> String {
    let part = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!("Bearer {}.{}.{}", part(r#"{"alg":"none"}"#), part(payload), part("signature"))
}

#[test]
fn claims_are_read_as_they_stand() {
    let payload = r#"{ "sub": "user-7", "n": 42, "f": -1.50, "list": [{"sub":"x"}], "no": null,
        "yes": true, "user": { "id": "seven", "deep": { "er": 1 }, "a.b": 2 }, "\u0065sc": "q\"q",
        "https://shop.example/tenant": "t", "user.name": "dotted", "": "empty" }"#;
    for (claim, expected) in [
        ("sub", Some("user-7")),
        ("n", Some("42")),
        ("f", Some("-1.50")),
        ("user.id", Some("seven")),
        ("user.deep.er", Some("1")),
        ("user.a.b", Some("2")),
        ("user.name", Some("dotted")),
        ("https://shop.example/tenant", Some("t")),
        ("esc", Some("q\\\"q")),
        ("user", None),
        ("list", None),
        ("list.sub", None),
        ("no", None),
        ("yes", None),
        ("su", None),
        ("sub.x", None),
        ("user.", None),
        (".", None),
    ] {
        let source = KeySource::JwtClaim(claim.into());
        assert_key(source, &[("authorization", &token(payload))], expected);
    }
    let source = KeySource::JwtClaim("sub".into());
    let lower = token(payload).replace("Bearer", "bearer");
    assert_key(source, &[("authorization", &lower)], Some("user-7"));
}

#[test]
fn tokens_that_are_none_have_no_claims() {
    let good = token(r#"{"sub":"7"}"#);
    let (bare, standard) = (good.replace("Bearer ", ""), BASE64_STANDARD_NO_PAD.encode("{}"));
    let large = token(&format!(r#"{{"sub":"7","x":"{}"}}"#, "x".repeat(9000)));
    let deep = token(&format!(r#"{{"sub":"7","x":{}1{}}}"#, "[".repeat(500), "]".repeat(500)));
    for authorization in [
        "",
        "Bearer",
        "Bearer ",
        "Bearer a",
        "Bearer ..",
        "Bearer a.b.c.d",
        "Bearer a.b.c.d.e",
        "Basic dXNlcjpwYXNz",
        &bare,
        &format!("{good}.more"),
        &good.replace('.', "=."),
        &good.replace('.', ".!"),
        &format!("Bearer {standard}.+/+/.{standard}"),
        &token("{"),
        &token(""),
        &token(r#"{"sub":"7""#),
        &token(r#"{"sub":"7"} {}"#),
        &token(r#"["sub","7"]"#),
        &token(r#""sub""#),
        &large,
    ] {
        assert_key(KeySource::JwtClaim("sub".into()), &[("authorization", authorization)], None);
    }
    // What is deep is skipped, or refused; it is no harm.
    let _ = key(KeySource::JwtClaim("sub".into()), Fallback::Random, &[("authorization", &deep)]);
    let source = KeySource::JwtClaim("sub".into());
    let octets = key(source, Fallback::SourceAddress, &[("authorization", "Bearer x")]);
    assert_eq!(octets, Some(vec![10, 1, 2, 3]));
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_read_or_passed_over(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut head = Headers::new();
            for name in [Name::Path, Name::Cookie, Name::Authorization] {
                head.add(name, &bytes);
            }
            for value in [cookie(&head, b"a"), parameter(&head, b"a")].into_iter().flatten() {
                prop_assert!(value.is_empty() || bytes.windows(value.len()).any(|part| part == value));
            }
            prop_assert!(jwt::claim(&head, "a.b", &mut Vec::new()).is_none());
            let mut bearer = b"Bearer a.".to_vec();
            bearer.extend_from_slice(BASE64_URL_SAFE_NO_PAD.encode(&bytes).as_bytes());
            bearer.extend_from_slice(b".c");
            let mut head = Headers::new();
            head.add(Name::Authorization, &bearer);
            let is_read = jwt::claim(&head, "a.b", &mut Vec::new()).is_some();
            let may_be = bytes.contains(&b'{');
            prop_assert!(may_be || !is_read);
        }
    }
}

#[test]
fn reading_a_key_allocates_nothing() {
    let head = head(&[
        (":path", "/a?x=1&user=7"),
        ("cookie", "a=b; sid=1"),
        ("x-user", "a"),
        ("authorization", &token(r#"{"iss":"x","aud":["y"],"sub":"user-7"}"#)),
    ]);
    let sources = [
        KeySource::Header("x-user".into()),
        KeySource::Cookie { name: "sid".into(), issue: None },
        KeySource::Query("user".into()),
        KeySource::JwtClaim("sub".into()),
        KeySource::SourceAddress,
    ];
    let issued = OnceCell::new();
    let rng = &RefCell::new(fastrand::Rng::with_seed(1));
    let mut scratch = Vec::with_capacity(1 << 10);
    for source in sources {
        let spec = KeySpec { source, fallback: Fallback::Random };
        let source = Peer::Ip([10, 1, 2, 3].into());
        let counted = allocation_counter::measure(|| {
            let key_cx = KeyContext { head: &head, source, affinity_cookie: &issued, rng };
            assert!(key_cx.key(&spec, &mut scratch).is_some());
        });
        assert_eq!(counted.count_total, 0, "{spec:?}");
    }
}
