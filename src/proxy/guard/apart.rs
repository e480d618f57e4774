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
/// When it began to be looked for.
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
        let mut looked = std::pin::pin!(looked(look, turns, policy.clone(), body.clone(), room));
        let (found, began) = tokio::select! {
            biased;
            looked = &mut looked => looked.map_err(NoBody::from),
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

async fn looked(
    look: Look,
    turns: &Turns,
    policy: Arc<Policy>,
    body: Bytes,
    room: Part,
) -> Result<(Looked, Began), GatewayError> {
    let taken = taken(look, turns).await.ok_or(GatewayError::Internal("policy_unread"))?;
    let stop = Stop::default();
    let leash = Leash(stop.clone());
    let work = match look {
        Look::Long(units) => Work::of(units).or_until(stop),
        Look::Hard => Work::until(stop),
    };
    let task = tokio::task::spawn_blocking(move || {
        let began = Instant::now();
        let found = policy.forbids_within(&body, work);
        // Seat and body are taken until now, also when the client has left; the room is, until the body is gone.
        drop((body, taken));
        ((found, room), began)
    });
    let looked = task.await.map_err(|_| GatewayError::Internal("policy_unread"));
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
    use crate::names::PolicyName;
    use crate::rules::buffered::Buffered;
    use crate::rules::content::{Allowed, Answers};

    #[tokio::test]
    async fn a_look_begins_when_the_wait_for_it_is_over() {
        let (turns, buffered) = (Turns::default(), Buffered::default());
        let turn = turns.hard.clone().acquire_owned().await.unwrap();
        let freed = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let freed = Instant::now();
            drop(turn);
            freed
        };
        let policy = Policy {
            name: PolicyName::new("p"),
            denied: None,
            answers: Answers::Free,
            max_prompt_tokens: None,
            media: Allowed::ALL,
            moderation: None,
        };
        let body = Bytes::from_static(b"{}");
        let looking = looked(Look::Hard, &turns, Arc::new(policy), body, buffered.part(&buffered));
        let (looked, freed) = tokio::join!(looking, freed);
        let ((found, _), began) = looked.unwrap();
        assert_eq!(found, Some(false));
        assert!(began >= freed);
    }
}
