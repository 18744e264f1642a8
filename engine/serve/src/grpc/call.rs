//! Each call over gRPC, seen from its head to the end of its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::http::{Request, Response};
use tonic::body::Body;
use tonic::codegen::Service;

use crate::Served;
use crate::seen::{Call, Counted, within};

/// A service whose calls are seen.
#[derive(Clone)]
pub(super) struct Watching<S> {
    inner: S,
    served: Arc<Served>,
}

impl<S> Watching<S> {
    pub(super) const fn new(inner: S, served: Arc<Served>) -> Self {
        Self { inner, served }
    }
}

impl<S> Service<Request<Body>> for Watching<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let call = Call::begin(&self.served.told(), "grpc", &request);
        let request = request.map(|body| Body::new(Counted::brought(body, Arc::clone(&call))));
        // The one that is ready takes the call; the other takes its place.
        let ready = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(async move {
            let response = within(Arc::clone(&call), async move { inner.call(request).await }).await?;
            call.answered(response.status());
            call.ended(response.headers());
            Ok(response.map(|body| Body::new(Counted::answer(body, call))))
        })
    }
}
