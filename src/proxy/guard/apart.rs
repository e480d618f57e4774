//! Looks through prompts on threads of their own, of which there are few: tenants take turns, and nobody is worked
//! for who does not wait any more.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use once_cell::sync::Lazy;
use pingora_core::protocols::http::ServerSession as HttpSession;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{GatewayError, UpstreamFault};
use crate::names::Alias;
use crate::proxy::intake::{self, NoBody};
use crate::proxy::life::{End, Life};
use crate::proxy::stopwatch::Stopwatch;
use crate::rules::buffered::Part;
use crate::rules::content::{Policy, Stop, Work};
use crate::rules::turns::Turns;

/// Half of the cores, for long bodies: the other half goes on serving.
static LONG_SEATS: Lazy<Arc<Semaphore>> = Lazy::new(|| seats(2));
/// A quarter, for bodies that take long: those that are only long need not wait for them.
static HARD_SEATS: Lazy<Arc<Semaphore>> = Lazy::new(|| seats(4));

fn seats(share: usize) -> Arc<Semaphore> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    Arc::new(Semaphore::new((cores / share).max(1)))
}

/// What there is to be done.
#[derive(Debug, Clone, Copy)]
pub enum Look {
    /// Much to read, with no more than so much work.
    Long(usize),
    /// Whatever it takes.
    Hard,
}

/// Who waits for the word, and until when it is of use.
pub struct Waiting<'a> {
    pub session: &'a mut HttpSession,
    pub turns: &'a Turns,
    pub life: &'a Life,
    pub alias: &'a Alias,
    /// When the request is over.
    pub end: Instant,
    /// Stops while a thread is waited for: the look is our own work, the wait is not.
    pub own: &'a mut Stopwatch,
}

/// What was found, and the room that the body takes.
type Looked = (Option<bool>, Part);
/// When a look began.
type Began = Instant;

impl Waiting<'_> {
    /// Looks through a body when one of the seats is free. The room that the body takes is given back with it.
    ///
    /// # Errors
    /// That the client left, and the refusal when the request or the daemon is at its end. All work ends then.
    pub async fn apart(
        &mut self,
        look: Look,
        policy: &Arc<Policy>,
        body: &Bytes,
        room: Part,
    ) -> Result<Looked, NoBody> {
        let Self { session, turns, life, alias, end, own } = self;
        own.stop(Instant::now());
        let (policy, body) = (policy.clone(), body.clone());
        let job = move |work| {
            let found = policy.forbids_within(&body, work);
            // The room is taken until the body is gone, also when the client left before.
            drop(body);
            (found, room)
        };
        let (found, began) = tokio::select! {
            biased;
            looked = looked(look, turns, job) => looked.map_err(NoBody::from),
            gone = intake::gone(session) => Err(NoBody::Gone(gone)),
            end = life.over(*end) => Err(over(end, alias).into()),
        }?;
        own.start(began);
        Ok(found)
    }
}

/// What a request is told at its end, or at the daemon's.
fn over(end: End, alias: &Alias) -> GatewayError {
    match end {
        End::Own => GatewayError::UpstreamDown { alias: alias.clone(), fault: UpstreamFault::TotalTimeout },
        End::Daemon => GatewayError::Draining,
    }
}

/// Stops the work of a thread when nobody waits for it any more.
struct Leash(Stop);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.say();
    }
}

/// Does a job on a thread of its own, when there is a seat, and tells when it began. Dropped, it ends the job soon.
///
/// # Errors
/// There was no thread for it, or it did not come to its end.
pub async fn looked<T: Send + 'static>(
    look: Look,
    turns: &Turns,
    job: impl FnOnce(Work) -> T + Send + 'static,
) -> Result<(T, Began), GatewayError> {
    let unread = GatewayError::Internal("policy_unread");
    let Some(taken) = taken(look, turns).await else { return Err(unread) };
    let stop = Stop::default();
    let leash = Leash(stop.clone());
    let work = match look {
        Look::Long(units) => Work::of(units).or_until(stop),
        Look::Hard => Work::until(stop),
    };
    let task = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let found = job(work);
        // It is taken until now, also when nobody waits any more.
        drop(taken);
        (found, began)
    });
    let looked = task.await.map_err(|_| unread);
    drop(leash);
    looked
}

/// A seat, when it is the tenant's turn. Of those who wait for one, each tenant is one, however many requests it has;
/// and of those that take long it has no more than one under way.
async fn taken(look: Look, turns: &Turns) -> Option<(OwnedSemaphorePermit, Option<OwnedSemaphorePermit>)> {
    let (turns, seats) = match look {
        Look::Long(_) => (&turns.long, &*LONG_SEATS),
        Look::Hard => (&turns.hard, &*HARD_SEATS),
    };
    let turn = turns.clone().acquire_owned().await.ok()?;
    let seat = seats.clone().acquire_owned().await.ok()?;
    Some(match look {
        Look::Long(_) => (seat, None),
        Look::Hard => (seat, Some(turn)),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_look_begins_when_the_wait_for_it_is_over() {
        let turns = Turns::default();
        let turn = turns.hard.clone().acquire_owned().await.unwrap();
        let freed = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let freed = Instant::now();
            drop(turn);
            freed
        };
        let (looked, freed) = tokio::join!(looked(Look::Hard, &turns, |_| 7), freed);
        let (found, began) = looked.unwrap();
        assert_eq!(found, 7);
        assert!(began >= freed);
    }
}
