//! The store in which several gateways keep their limits together: its secrets read, its state told.

use std::sync::Arc;

use super::fleet::Fleet;
use super::secrets::secret;
use super::store::{Hooks, RedisPlan, RedisStore};
use crate::config::place::{Fault, Way};
use crate::config::plan::StorePlan;
use crate::metrics::Metrics;
use crate::rules::store::{State, Store};

/// The store of a plan, on the fleet's runtime.
///
/// # Errors
/// What is wrong with its secrets or its address.
pub fn limits(plan: &StorePlan, fleet: &Fleet, metrics: &Arc<Metrics>) -> Result<Arc<dyn Store>, Fault> {
    let redis = redis(plan)?;

    let unusable = |why| Fault::obstacle(Way::to("limits_store"), why, "see to what is written here");
    // Without a store nobody is told that it does not answer; with one, also before it ever has.
    metrics.show_store().map_err(|why| unusable(why.to_string()))?;
    // The connection tells in words, because it knows why.
    let (took, state, dropped) = (metrics.clone(), metrics.clone(), metrics.clone());
    let hooks = Hooks {
        took: Box::new(move |outcome, time| took.store_answered(outcome.label(), time.as_secs_f64())),
        state: Box::new(move |now| match now {
            State::Up => state.store_up.set(1),
            State::Down => state.store_up.set(0),
        }),
        dropped: Box::new(move |changes| dropped.store_dropped.inc_by(changes)),
    };
    let store = RedisStore::new(&redis, hooks, fleet.runtime.handle().clone());
    Ok(Arc::new(store.map_err(unusable)?))
}

/// What a store needs to be spoken to, its secrets read.
///
/// # Errors
/// A secret or a certificate that cannot be read.
pub fn redis(plan: &StorePlan) -> Result<RedisPlan, Fault> {
    let at = |field: &str| Way::to("limits_store").field(field);
    let password = plan.password.as_ref().map(secret).transpose();
    let password = password.map_err(|unread| unread.at(at("password")))?;
    let ca = plan.ca.as_ref().map(|path| {
        let unread = |why| Fault::obstacle(at("ca"), format!("{}: {why}", path.display()), "see to the file");
        std::fs::read(path).map_err(unread)
    });
    Ok(RedisPlan {
        host: plan.host.clone(),
        port: plan.port,
        db: plan.db,
        tls: plan.tls,
        ca: ca.transpose()?,
        username: plan.username.clone(),
        password,
        timeout: plan.timeout,
        prefix: plan.prefix.clone(),
    })
}
