//! What other gateways carry.

use http::{HeaderMap, HeaderValue};
use tokio::sync::mpsc;

use crate::support::gateway::Gateway;
use crate::support::{raw, soon};

/// Values as a peer sends them, what is to become of them, and what of a message.
const BLANKS: [(&str, &str, &str); 5] = [
    ("cannot parse: ", "cannot parse:", "cannot parse:%20"),
    ("\t a  b", "a  b", "%09%20a  b"),
    (" both ", "both", "%20both%20"),
    (" ", "", "%20"),
    ("none", "none", "none"),
];

/// A call of which the client, the head and the trailers have values with blanks around them.
#[tokio::test]
async fn blanks_around_values_pass_as_what_they_are() {
    let (heard, mut news) = mpsc::unbounded_channel();
    let backend = raw::backend(move |(request, mut respond): raw::Exchange| {
        let case: usize = request.uri().path()[1..].parse().unwrap();
        heard.send(request.headers()["x-value"].clone()).unwrap();
        async move {
            let value = HeaderValue::from_static(BLANKS[case / 2].0);
            let mut last = raw::status(3);
            last.insert("grpc-message", value.clone());
            last.insert("x-value", value.clone());
            let mut head = raw::ok();
            if case.is_multiple_of(2) {
                head.headers_mut().extend(last);
                respond.send_response(head, true).unwrap();
            } else {
                head.headers_mut().insert("x-value", value);
                let mut body = respond.send_response(head, false).unwrap();
                body.send_data("all".into(), false).unwrap();
                body.send_trailers(last).unwrap();
            }
        }
    })
    .await;
    let gateway = Gateway::to(&[backend]).await;
    let client = raw::connect(gateway.front()).await;
    for (nth, (sent, value, text)) in BLANKS.iter().enumerate() {
        let (value, text) = (Some(value.as_bytes()), Some(text.as_bytes()));
        for only_head in [true, false] {
            let mut request = raw::grpc(&format!("/{}", 2 * nth + usize::from(!only_head)));
            request.headers_mut().insert("x-value", HeaderValue::from_static(sent));
            let answer = raw::get(&client, request).await;
            let reached = soon("the backend is called", news.recv()).await.unwrap();
            assert_eq!(Some(reached.as_bytes()), value, "{sent:?}");
            assert_eq!(
                (answer.only_head, answer.header("x-value")),
                (only_head, value),
                "{sent:?}"
            );
            let none = HeaderMap::new();
            let last = answer.trailers.as_ref().unwrap_or(&none);
            let last = if only_head { &answer.head.headers } else { last };
            let found = |name| last.get(name).map(HeaderValue::as_bytes);
            assert_eq!(found("grpc-status"), Some(&b"3"[..]), "{sent:?}");
            assert_eq!((found("grpc-message"), found("x-value")), (text, value), "{sent:?}");
        }
    }
    gateway.idle().await;
}
