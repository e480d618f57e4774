//! Which backend is asked next: round robin within a pool, pools in order of priority.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::catalog::Route;
use super::headers::UpwardHead;
use super::timeouts::Timeouts;
use crate::metrics::BackendMetrics;
use crate::names::{BackendName, PoolName};
use crate::wire::splice::Forward;

/// Backends that can answer for each other.
#[derive(Debug)]
pub struct Pool {
    pub name: PoolName,
    /// At least one.
    pub backends: Vec<Backend>,
    pub timeouts: Timeouts,
    /// How many attempts a request may cost in all; at least 1.
    pub attempts: usize,
    /// Unknown request fields that this pool gets.
    pub forward: Forward,
    /// Where the next request starts. It wraps around.
    cursor: AtomicUsize,
}

/// One backend, ready to be connected to.
#[derive(Debug)]
pub struct Backend {
    pub name: BackendName,
    pub address: SocketAddr,
    /// The name its certificate must be for; `None` is plain HTTP.
    pub tls_name: Option<String>,
    pub head: UpwardHead,
    pub metrics: BackendMetrics,
}

impl Pool {
    /// A pool whose first request goes to its first backend.
    pub fn new(
        name: PoolName,
        backends: Vec<Backend>,
        timeouts: Timeouts,
        attempts: usize,
        forward: Forward,
    ) -> Self {
        Self { name, backends, timeouts, attempts, forward, cursor: AtomicUsize::new(0) }
    }
}

/// A backend of a route, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    pub route: usize,
    pub backend: usize,
}

impl Target {
    /// The route and backend this stands for; `None` only for another alias's routes.
    pub fn of(self, routes: &[Route]) -> Option<(&Route, &Backend)> {
        let route = routes.get(self.route)?;
        Some((route, route.pool.backends.get(self.backend)?))
    }
}

/// The next backend that has not been tried: of the first route that has one left.
pub fn pick(routes: &[Route], tried: &[Target]) -> Option<Target> {
    routes.iter().enumerate().find_map(|(route, of)| {
        let count = of.pool.backends.len();
        // The cursor moves once a request, not once an attempt: a failing backend's load is
        // spread over all others instead of falling on its neighbour.
        let first = tried.iter().find(|t| t.route == route);
        let start = match first {
            Some(first) => first.backend,
            None => of.pool.cursor.fetch_add(1, Ordering::Relaxed),
        };
        (0..count)
            .map(|step| Target { route, backend: start.wrapping_add(step) % count })
            .find(|target| !tried.contains(target))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Secret;
    use crate::wire::splice::JsonText;
    use std::sync::Arc;
    use std::time::Duration;

    fn route(pool: &str, backends: usize) -> Route {
        let second = Duration::from_secs(1);
        let timeouts = Timeouts { connect: second, first_byte: second, idle: second, total: second };
        let backends = (0..backends)
            .map(|n| Backend {
                name: BackendName::new(format!("{pool}{n}")),
                address: ([127, 0, 0, 1], 1).into(),
                tls_name: None,
                head: UpwardHead::new("h", "/v1", None::<&Secret>).unwrap(),
                metrics: crate::metrics::Metrics::new().unwrap().backend("p", "b"),
            })
            .collect();
        let pool = Pool::new(PoolName::new(pool), backends, timeouts, 3, Forward::default());
        Route { pool: Arc::new(pool), model: JsonText::new("m") }
    }

    fn order(routes: &[Route]) -> Vec<String> {
        let mut tried = Vec::new();
        while let Some(target) = pick(routes, &tried) {
            tried.push(target);
        }
        tried.iter().map(|t| t.of(routes).unwrap().1.name.to_string()).collect()
    }

    #[test]
    fn requests_take_turns_and_every_backend_is_tried_once_before_the_next_route() {
        let routes = [route("a", 3), route("b", 2)];
        assert_eq!(order(&routes), ["a0", "a1", "a2", "b0", "b1"]);
        assert_eq!(order(&routes), ["a1", "a2", "a0", "b1", "b0"]);
        assert_eq!(order(&routes), ["a2", "a0", "a1", "b0", "b1"]);
    }

    #[test]
    fn a_cursor_at_its_end_wraps_around() {
        let routes = [route("a", 2)];
        routes[0].pool.cursor.store(usize::MAX, Ordering::Relaxed);
        assert_eq!(order(&routes).len(), 2);
        assert_eq!(order(&routes), ["a0", "a1"]);
    }
}
