//! What is counted of HTTP requests.

use axum::{extract::Request, http::Method, middleware::Next, response::Response};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::Registry,
};
use std::time::Instant;

/// The upper ends of the buckets, in seconds. A write waits for its tunnel, some seconds long.
const BUCKETS: [f64; 11] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 5.0, 10.0];

/// Times by path.
type Times = Family<[(&'static str, &'static str); 1], Histogram, fn() -> Histogram>;

/// What is counted of requests. All labels are words of this program, however strange the requests are.
#[derive(Clone)]
pub struct Calls {
    requests: Family<[(&'static str, String); 3], Counter>,
    times: Times,
}

impl Default for Calls {
    fn default() -> Self {
        Self { requests: Family::default(), times: Family::new_with_constructor(|| Histogram::new(BUCKETS)) }
    }
}

impl Calls {
    /// Has a request for this path of the table answered, and counts it.
    pub async fn count(&self, route: &'static str, request: Request, next: Next) -> Response {
        let (method, begun) = (method(request.method()), Instant::now());
        let response = next.run(request).await;
        let status = response.status().as_u16().to_string();
        let labels = [("route", route.to_owned()), ("method", method.to_owned()), ("status", status)];
        self.requests.get_or_create(&labels).inc();
        self.times.get_or_create(&[("route", route)]).observe(begun.elapsed().as_secs_f64());
        response
    }

    /// Registers the series.
    pub fn register(&self, registry: &mut Registry) {
        let Self { requests, times } = self.clone();
        registry.register("http_requests", "HTTP requests that were answered, by path, method and status", requests);
        registry.register("http_request_duration_seconds", "Time until an HTTP answer begins, by path", times);
    }
}

fn method(method: &Method) -> &'static str {
    let known = ["GET", "HEAD", "PUT", "POST", "DELETE"];
    known.into_iter().find(|known| *known == method.as_str()).unwrap_or("other")
}
