use super::*;

fn rewritten(rewrite: &PathRewrite, path: &str) -> String {
    String::from_utf8(rewrite.apply(path.as_bytes()).concat()).unwrap()
}

/// The Gateway API's own table, and queries.
#[test]
fn a_prefix_is_replaced_by_whole_segments() {
    for (path, matched, with, expected) in [
        ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
        ("/foo", "/foo", "/xyz", "/xyz"),
        ("/foo/", "/foo", "/xyz", "/xyz/"),
        ("/foo/bar", "/foo", "", "/bar"),
        ("/foo/", "/foo", "", "/"),
        ("/foo", "/foo", "", "/"),
        ("/foo?a=/b", "/foo", "", "/?a=/b"),
        ("/foo/bar?a", "/foo", "/x/y", "/x/y/bar?a"),
        ("/bar", "", "/xyz", "/xyz/bar"),
        ("/", "", "/xyz", "/xyz/"),
        ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
    ] {
        let rewrite = PathRewrite::Prefix { matched: matched.len(), with: with.into() };
        assert_eq!(rewritten(&rewrite, path), expected, "{path} {matched} {with}");
    }
}

#[test]
fn a_path_is_replaced_but_for_its_query() {
    let rewrite = PathRewrite::Full("/new".into());
    assert_eq!(rewritten(&rewrite, "/old/path"), "/new");
    assert_eq!(rewritten(&rewrite, "/old?a=b?c"), "/new?a=b?c");
}

#[test]
fn a_redirect_keeps_what_it_does_not_set() {
    let location = |redirect: &Redirect, https: bool, authority: &str, path: &str| {
        let mut out = Vec::new();
        redirect.location(https, authority.as_bytes(), path.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    };
    let plain = Redirect::default();
    let secure = Redirect { scheme: Some("https"), ..Redirect::default() };
    let host = Redirect { host: Some("new.example".into()), ..Redirect::default() };
    let port = Redirect { port: Some(8443), ..secure.clone() };
    let path = Redirect { path: Some(PathRewrite::Full("/new".into())), ..Redirect::default() };
    for (redirect, https, authority, asked, expected) in [
        (&plain, false, "a.example", "/x?y", "http://a.example/x?y"),
        (&plain, true, "a.example:8443", "/x", "https://a.example:8443/x"),
        (&secure, false, "a.example:8080", "/x?y", "https://a.example/x?y"),
        (&secure, false, "[::1]:8080", "/", "https://[::1]/"),
        (&host, false, "a.example:8080", "/x", "http://new.example:8080/x"),
        (&host, true, "", "/x", "https://new.example/x"),
        (&port, false, "a.example:8080", "/x", "https://a.example:8443/x"),
        (&path, false, "a.example", "/x?y", "http://a.example/new?y"),
        (&plain, false, "a.example", "//b.example/", "http://a.example//b.example/"),
        (&plain, false, "a.example", "*", "http://a.example/"),
    ] {
        assert_eq!(location(redirect, https, authority, asked), expected, "{redirect:?}");
    }
}

#[test]
fn every_status_is_written_as_it_is_read() {
    for (digits, status) in RedirectStatus::ALL {
        assert_eq!(status.digits(), digits);
    }
    assert_eq!(RedirectStatus::default().digits(), "302");
}
