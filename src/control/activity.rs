//! Middleware that tracks calls per connection, so that the connection limit can evict the one with
//! the least to do.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tower::{Layer, Service};

use super::limit::Caller;

/// A tower layer that marks a connection active for the duration of each call.
#[derive(Clone, Copy, Debug)]
pub(super) struct TrackCalls;

/// The layer's service.
#[derive(Clone, Debug)]
pub(super) struct Tracked<S>(S);

impl<S> Layer<S> for TrackCalls {
    type Service = Tracked<S>;

    fn layer(&self, inner: S) -> Tracked<S> {
        Tracked(inner)
    }
}

impl<S> Service<Request<Body>> for Tracked<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let caller = request.extensions().get::<Caller>();
        let answering = caller.map(|caller| caller.activity.begin(true));
        let answer = self.0.call(request);
        Box::pin(async move {
            let response = answer.await?;
            let Some(answering) = answering else { return Ok(response) };
            let streaming = answering.stream();
            let noted = move |body: Body| {
                Body::new(body.map_frame(move |frame| {
                    let _until_its_end = &streaming;
                    frame
                }))
            };
            Ok(response.map(noted))
        })
    }
}
