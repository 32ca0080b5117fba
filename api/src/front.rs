//! What every request meets first: answers that are at hand go out from here, without a future, a
//! route or a span of their own. Everything else goes on to the router.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tower::ServiceExt;

use crate::client::Peer;
use crate::cors::Cors;
use crate::metrics::{Began, Counted};
use crate::rate::Gate;
use crate::respond::respond_at_once;
use crate::{Context, Error, health, router, trace};

/// The whole API: what [`crate::run`] serves. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Service {
    context: Context,
    router: Router,
    gate: Option<Gate>,
    cross_origin: bool,
    /// Whether somebody wants to know how long requests take.
    wants_time: bool,
}

impl Service {
    /// The API over `context`.
    pub fn new(context: Context) -> Self {
        let router = router(context.clone());
        let config = context.config();
        Self {
            gate: Gate::of(config),
            cross_origin: config.cors != Cors::Off,
            wants_time: context.metrics().is_some() || config.spans_of_hits.is_some(),
            context,
            router,
        }
    }

    /// Answers a request of `peer`.
    pub(crate) fn answer<B>(&self, mut request: Request<B>, peer: Option<Peer>) -> Answering
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let began = Began::now(self.wants_time);
        let peer = peer.or_else(|| request.extensions().get().copied());
        let gate = self.gate.as_ref();
        let told = gate.and_then(|gate| Some((gate.clone(), gate.check(&request, peer)?)));
        let permit = told.as_ref().map(|(_, verdict)| verdict.permit());
        let tell = move |mut response: Response<Payload>| {
            if let Some((gate, verdict)) = &told {
                gate.tell(*verdict, response.headers_mut());
            }
            response
        };
        if let Some(Err(refused)) = permit {
            let mut response = refused.into_response().map(Payload::Streamed);
            self.context.config().cors.open(response.headers_mut());
            measure(&self.context, request.method(), &response, began);
            return Answering::Now(Some(tell(response)));
        }
        if let Some(mut response) = self.at_once(&request, began) {
            if self.cross_origin {
                self.context.config().cors.open(response.headers_mut());
            }
            return Answering::Now(Some(tell(response)));
        }
        if let Some(peer) = peer {
            request.extensions_mut().insert(peer);
        }
        let (router, context) = (self.router.clone(), self.context.clone());
        let active = Counted::new(&self.context, Context::active);
        Answering::Later(Box::pin(async move {
            let _active = active;
            let method = request.method().clone();
            let Ok(mut response) = router.oneshot(request.map(Body::new)).await;
            measure(&context, &method, &response, began);
            if response.status() == StatusCode::NOT_MODIFIED {
                // The router tells the length of what it sends, which is nothing; here it would be
                // taken for that of the whole answer (RFC 9110, section 8.6).
                response.headers_mut().remove(header::CONTENT_LENGTH);
            }
            tell(response.map(Payload::Streamed))
        }))
    }

    fn at_once<B>(&self, request: &Request<B>, began: Began) -> Option<Response<Payload>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return None;
        }
        // Which headers a page of another origin needs, the router knows.
        if self.cross_origin && request.headers().contains_key(header::ORIGIN) {
            return None;
        }
        let standing = self.context.present()?;
        let address = request.uri().path_and_query()?.as_str();
        let asked = self
            .context
            .cache()
            .meaning(address, standing.version.epoch)?;
        let (response, version) =
            respond_at_once(&self.context, &standing, &asked, request.headers())?;
        if self.wants_time {
            let (route, status) = (asked.question.route(), response.status());
            let took = began.elapsed();
            if let Some(metrics) = self.context.metrics() {
                metrics.hit(request.method(), route, status, took);
            }
            if let Some(spans) = &self.context.config().spans_of_hits {
                trace::hit(spans, request, route, version, status, took);
            }
        }
        Some(if request.method() == Method::HEAD {
            without_body(response)
        } else {
            response.map(|body| Payload::Kept(Some(body)))
        })
    }

    /// Answers when there are more connections than there may be: probes as ever, and everything else
    /// with 503.
    pub(crate) fn answer_beyond<B>(&self, request: Request<B>) -> Answering
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        if health::is_probe(request.uri().path()) {
            return self.answer(request, None);
        }
        let began = Began::now(self.wants_time);
        let mut response = Error::Overloaded.into_response();
        measure(&self.context, request.method(), &response, began);
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
        Answering::Now(Some(response.map(Payload::Streamed)))
    }
}

/// Counts a request whose answer was not at hand.
fn measure<B>(context: &Context, method: &Method, response: &Response<B>, began: Began) {
    if let Some(metrics) = context.metrics() {
        let route = trace::route_of(response);
        metrics.request(method, route, response.status(), began.elapsed());
    }
}

/// What `HEAD` is answered: the headers of `GET`, its body's length among them (RFC 9110, section 9.3.2).
fn without_body(mut response: Response<Bytes>) -> Response<Payload> {
    if response.status() != StatusCode::NOT_MODIFIED {
        let length = response.body().len().into();
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
    }
    response.map(|_| Payload::Kept(None))
}

impl<B> tower::Service<Request<B>> for Service
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response<Payload>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answering {
        self.answer(request, None)
    }
}

/// An answer that is there, or on its way.
pub enum Answering {
    /// There.
    Now(Option<Response<Payload>>),
    /// On its way.
    Later(BoxFuture<'static, Response<Payload>>),
}

impl std::fmt::Debug for Answering {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Now(_) => "Now",
            Self::Later(_) => "Later",
        })
    }
}

impl Future for Answering {
    type Output = Result<Response<Payload>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Now(response) => response
                .take()
                .map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            Self::Later(answer) => answer.as_mut().poll(cx).map(Ok),
        }
    }
}

/// An answer's body.
#[derive(Debug)]
pub enum Payload {
    /// One piece, shared with the cache.
    Kept(Option<Bytes>),
    /// Anything else.
    Streamed(Body),
}

impl HttpBody for Payload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match &mut *self {
            Self::Kept(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Streamed(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Kept(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Kept(bytes) => {
                let length = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(length as u64)
            }
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
