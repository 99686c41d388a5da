"""Requests that must be refused and never relayed: smuggling, CONNECT, pseudo-headers, hop-by-hop fields."""

import wire as w
from attack import attack


def judge(t, cases, accept):
    """Each case is (name, fields or frames); `accept` judges its answer. Nothing of it may reach the backend."""
    wrong = []
    for name, fields in cases:
        t.origin.reset()
        kind, value = t.answer(fields if callable(fields) else [w.headers(1, w.block(fields), end=True)])
        # The innocents' calls are all that may be there.
        relayed = any("/innocent." not in path for path in t.origin.stats()["paths"])
        if relayed or not accept(kind, value):
            wrong.append(f"{name}: {'relayed, ' if relayed else ''}{kind} {value}")
    t.verdict = not wrong
    t.note = "; ".join(wrong) if wrong else f"{len(cases)} refused"


def refused(kind, value):
    return kind in ("rst", "goaway", "closed") or kind == "status" and 400 <= value < 600


def base(**change):
    fields = {":method": "POST", ":scheme": "http", ":path": "/bad", ":authority": "a.test"}
    fields.update({":" + k: v for k, v in change.items()})
    return [(k, v) for k, v in fields.items() if v is not None]


@attack("malformed requests", answer=True)
def malformed(t):
    ok = base()
    bad_names = [b"x y", b"x\0", b"x\r\n", b"x:y", b"X-Upper", b"", b"x\x7f", b"x\xc3\xa9"]
    bad_values = [b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"]
    cases = [(f"name {n!r}", [*ok, (n, b"v")]) for n in bad_names]
    cases += [(f"value {v!r}", [*ok, (b"x", v)]) for v in bad_values]
    cases += [(f"{n}", [*ok, (n, v)]) for n, v in [
        ("connection", "close"), ("keep-alive", "1"), ("proxy-connection", "close"), ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, chunked")]]
    cases += [(f"path {p!r}", base(path=p)) for p in [b"", b"bad", b"/bad\r\nx: y", b"/bad x", b"/bad\0", b"http://a/bad", b"*"]]
    cases += [(f"method {m!r}", base(method=m)) for m in [b"", b"GE T", b"GET\r\n", b"GET /bad HTTP/1.1\r\n"]]
    cases += [(f"authority {a!r}", base(authority=a)) for a in [b"user@a.test", b"user:pw@a.test", b"a.test\r\nx: y", b"a b", b"a.test/x"]]
    cases += [(f"scheme {s!r}", base(scheme=s)) for s in [b"", b"http\r\nx: y", b"http://x"]]
    cases += [("no method", base(method=None)), ("no scheme", base(scheme=None)), ("no path", base(path=None)),
              ("two paths", [*ok, (":path", "/bad2")]), ("two methods", [*ok, (":method", "GET")]),
              ("two authorities", [*ok, (":authority", "b.test")]), (":status", [*ok, (":status", "200")]),
              (":protocol", [*ok, (":protocol", "websocket")]), ("pseudo after regular", [*ok[:3], ("x", "y"), ok[3]]),
              ("two content-lengths", [*ok, ("content-length", "1"), ("content-length", "2")]),
              ("content-length with END_STREAM", [*ok, ("content-length", "5")]),
              ("content-length -1", [*ok, ("content-length", "-1")]), ("content-length +0", [*ok, ("content-length", "+0")]),
              ("content-length 1e3", [*ok, ("content-length", "1e3")])]
    judge(t, cases, refused)


@attack("CONNECT", answer=True)
def connect(t):
    authority = [(":method", "CONNECT"), (":authority", "127.0.0.1:22")]
    judge(t, [("plain", lambda c: [w.headers(1, w.block(authority))]),
              ("with a body", lambda c: [w.headers(1, w.block(authority)), w.data(1, b"SSH-2.0")]),
              ("with a path", lambda c: [w.headers(1, w.block([*authority, (":path", "/bad"), (":scheme", "http")]))]),
              ("extended", lambda c: [w.headers(1, w.block([*authority, (":protocol", "websocket"), (":scheme", "http"), (":path", "/bad")]))])],
          refused)


@attack("host against :authority", answer=True)
def host(t):
    judge(t, [("host differs", [*base(), ("host", "other.test")]),
              ("two hosts", [*base(authority=None), ("host", "a.test"), ("host", "b.test")])], refused)


@attack("trailers that are no trailers", answer=True)
def trailers(t):
    def case(*fields):
        return lambda c: [w.headers(1, w.block(base())), w.data(1, b"x"), w.headers(1, w.block(fields), end=True)]
    cases = [(f"{n}", case((n, v))) for n, v in [(":path", "/bad"), (":status", "200"), ("connection", "close"), ("X-Up", "v")]]
    # The head may be relayed before the trailers are seen: judged by the answer alone.
    wrong = []
    for name, frames in cases:
        kind, value = t.answer(frames)
        if not (refused(kind, value)):
            wrong.append(f"{name}: {kind} {value}")
    t.verdict = not wrong
    t.note = "; ".join(wrong) or f"{len(cases)} refused"


@attack("headers above the limits", answer=True)
def oversized(t):
    ok = base()
    def many(c):
        return [w.headers(1, w.block([*ok, *[(f"x{i}", "y") for i in range(2000)]]), end=True)]
    def large(c):
        blocks = w.block([*ok, *[(f"x{i}", "y" * 8000) for i in range(12)]])
        parts = [blocks[i:i + 16000] for i in range(0, len(blocks), 16000)]
        return [w.headers(1, parts[0], end=True, end_headers=False),
                *[w.continuation(1, p, end_headers=i == len(parts) - 2) for i, p in enumerate(parts[1:])]]
    judge(t, [("2,000 fields", many), ("96 KiB", large)], refused)
