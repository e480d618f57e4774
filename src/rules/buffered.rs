//! The memory that request bodies may take: of all clients together, and of each tenant.
//!
//! A tenant may hold as much as it leaves free of what the others have left over: the dynamic threshold of switches
//! whose ports share one buffer. One that takes all it can gets half; two, in time, a third each; so there is some
//! left for one that comes later, and nobody's part has to be configured or lies idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many bytes of request bodies are in memory: one for the process, and one for each tenant that lasts as long.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Buffered(Arc<AtomicUsize>);

/// What there is to be shared, as it is configured now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bodies of all clients together, in bytes.
    pub all: usize,
    /// The longest body, in bytes: so much a tenant may hold whatever the others do, as long as there is room.
    pub one: usize,
    /// How many tenants there are. One alone shares with nobody.
    pub tenants: usize,
}

/// There is no room for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All clients together have taken what there is.
    All,
    /// The tenant has its share.
    Share,
}

/// One body's part of what all have and of what its tenant has, given back when dropped.
#[derive(Debug)]
pub struct Part {
    all: Buffered,
    tenant: Buffered,
    bytes: usize,
}

impl Bounds {
    /// How many bytes a tenant may hold while the others hold so many.
    pub fn share(&self, others: usize) -> usize {
        let left = self.all.saturating_sub(others);
        if self.tenants <= 1 { left } else { (left / 2).max(self.one).min(left) }
    }
}

impl Buffered {
    /// How many bytes there are now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Room for a body of this tenant's of which nothing has come. To be asked of the one of the process.
    pub fn part(&self, tenant: &Self) -> Part {
        Part { all: self.clone(), tenant: tenant.clone(), bytes: 0 }
    }

    /// Adds so many if the sum is good, and gives it.
    fn add(&self, more: usize, good: impl Fn(usize) -> bool) -> Option<usize> {
        let sum = |bytes: usize| bytes.checked_add(more).filter(|sum| good(*sum));
        let before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum).ok()?;
        Some(before + more)
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Part {
    /// Takes room for so many more bytes. All bodies together never take more than they may; a tenant's take no more
    /// than its share but for what is taken and given back at that very moment, as nothing is locked here.
    ///
    /// # Errors
    /// When they would; nothing is taken then.
    pub fn grow(&mut self, more: usize, bounds: &Bounds) -> Result<(), Full> {
        let all = self.all.add(more, |sum| sum <= bounds.all).ok_or(Full::All)?;
        let fits = |held: usize| held <= bounds.share(all.saturating_sub(held));
        if self.tenant.add(more, fits).is_none() {
            self.all.give_back(more);
            return Err(Full::Share);
        }
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.tenant.give_back(self.bytes);
        self.all.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALONE: Bounds = Bounds { all: 100, one: 10, tenants: 1 };
    const SHARED: Bounds = Bounds { tenants: 2, ..ALONE };

    #[test]
    fn all_parts_together_fit_and_are_given_back() {
        let (all, tenant) = (Buffered::default(), Buffered::default());
        let (mut one, mut other) = (all.part(&tenant), all.part(&tenant));
        assert_eq!((one.grow(60, &ALONE), other.grow(40, &ALONE)), (Ok(()), Ok(())));
        assert_eq!((one.grow(1, &ALONE), other.grow(usize::MAX, &ALONE)), (Err(Full::All), Err(Full::All)));
        assert_eq!(one.grow(0, &ALONE), Ok(()));
        drop(one);
        assert_eq!((all.bytes(), other.grow(60, &ALONE), all.bytes()), (40, Ok(()), 100));
        drop(other);
        assert_eq!((all.bytes(), tenant.bytes()), (0, 0));
    }

    #[test]
    fn a_share_is_half_of_what_the_others_leave_and_one_body_at_least() {
        for (others, share) in
            [(0, 50), (1, 49), (2, 49), (78, 11), (79, 10), (80, 10), (81, 10), (90, 10), (91, 9), (100, 0)]
        {
            assert_eq!(SHARED.share(others), share, "{others}");
            assert_eq!(ALONE.share(others), 100 - others, "{others}");
        }
        assert_eq!(SHARED.share(usize::MAX), 0);
        let tight = Bounds { one: 100, ..SHARED };
        assert_eq!((tight.share(0), tight.share(1)), (100, 99));
    }

    #[test]
    fn a_tenant_takes_its_share_and_not_one_byte_more() {
        // Who holds how much already, and what is left to the one that asks.
        for (others, own, n) in [(0, 0, 50), (0, 49, 1), (0, 50, 0), (50, 0, 25), (50, 25, 0), (60, 15, 5)] {
            let all = Buffered::default();
            let [tenant, strange] = [(); 2].map(|()| Buffered::default());
            let (mut theirs, mut held) = (all.part(&strange), all.part(&tenant));
            assert_eq!((theirs.grow(others, &ALONE), held.grow(own, &ALONE)), (Ok(()), Ok(())));
            for (more, answer) in [(n.max(1) - 1, Ok(())), (n, Ok(())), (n + 1, Err(Full::Share))] {
                let mut part = all.part(&tenant);
                assert_eq!(part.grow(more, &SHARED), answer, "{others} {own} {more}");
                let taken = if answer.is_ok() { more } else { 0 };
                assert_eq!((all.bytes(), tenant.bytes()), (others + own + taken, own + taken));
            }
        }
    }

    #[test]
    fn whoever_holds_nothing_has_room_for_one_body_while_there_is_any() {
        for (others, answers) in [
            (89, [Ok(()), Ok(()), Err(Full::Share)]),
            (90, [Ok(()), Ok(()), Err(Full::All)]),
            (91, [Ok(()), Err(Full::All), Err(Full::All)]),
        ] {
            let all = Buffered::default();
            let mut theirs = all.part(&Buffered::default());
            assert_eq!(theirs.grow(others, &ALONE), Ok(()));
            let asked = [9, 10, 11].map(|more| all.part(&Buffered::default()).grow(more, &SHARED));
            assert_eq!(asked, answers, "{others}");
        }
    }

    /// However many take all that they can, one after the other: each leaves as much as it takes.
    #[test]
    fn those_who_take_all_that_they_can_leave_room_for_the_next() {
        let bounds = Bounds { all: 1 << 30, one: 8 << 20, tenants: 200 };
        let all = Buffered::default();
        let mut greedy = Vec::new();
        for number in 1..=7 {
            let tenant = Buffered::default();
            let mut part = all.part(&tenant);
            while part.grow(64 << 10, &bounds).is_ok() {}
            greedy.push(part);
            assert!(bounds.all - all.bytes() >= tenant.bytes(), "{number}");
            assert!(bounds.all - all.bytes() >= bounds.one, "{number}: {}", all.bytes());
        }
    }

    #[test]
    fn threads_that_take_and_give_back_leave_nothing_behind_and_never_pass_the_bound() {
        let all = Buffered::default();
        let tenants = [(); 3].map(|()| Buffered::default());
        std::thread::scope(|scope| {
            for tenant in tenants.iter().cycle().take(6) {
                scope.spawn(|| {
                    for round in 0..20_000 {
                        let mut part = all.part(tenant);
                        while part.grow(1 + round % 7, &SHARED).is_ok() {
                            assert!(all.bytes() <= SHARED.all);
                        }
                    }
                });
            }
        });
        assert_eq!((all.bytes(), tenants.map(|tenant| tenant.bytes())), (0, [0; 3]));
    }
}
