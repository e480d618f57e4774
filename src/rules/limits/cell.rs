//! The counters of one entity.

use std::time::Duration;

use pingora_limits::estimator::Estimator;

use super::book::{Ask, Charge, When, Windows};
use super::meter::{Meter, change, count, exact};
use super::period::{Spent, Today};
use super::{LimitKind, LimitRules, SLOT_WAIT};

/// What one entity has used.
pub(super) struct Cell {
    pub(super) requests: Meter,
    pub(super) tokens: Meter,
    in_flight: Estimator,
    pub(super) day: Spent,
    pub(super) month: Spent,
    /// What other gateways have used of each kind, as a shared store last told.
    others: Vec<(LimitKind, Others)>,
}

/// What others had used of a limit at some time.
#[derive(Debug, Clone, Copy)]
struct Others {
    used: u64,
    at: When,
}

/// For how long what others have used in a minute is believed.
const MINUTE: Duration = Duration::from_secs(60);

impl Default for Cell {
    fn default() -> Self {
        let (requests, tokens, in_flight) = (Meter::default(), Meter::default(), exact());
        Self {
            requests,
            tokens,
            in_flight,
            day: Spent::default(),
            month: Spent::default(),
            others: Vec::new(),
        }
    }
}

impl Cell {
    /// Whether all of this fits, and otherwise what has to wait longest. A slot is what is missing only when
    /// nothing else is.
    pub(super) fn check(
        &mut self,
        rules: &LimitRules,
        ask: &Ask,
        when: When,
    ) -> Result<(), (LimitKind, Duration)> {
        let mut longest: Option<(LimitKind, Duration)> = None;
        let mut refuse = |kind, wait: Duration| {
            if longest.is_none_or(|(_, known)| wait > known) {
                longest = Some((kind, wait));
            }
        };
        if let Windows::Ours { instances } = ask.windows {
            let shared = |most: u64| most.div_ceil(instances.max(1));
            let Today { day, month, day_left, month_left } = when.today;
            let minute = [
                (LimitKind::RequestsPerMinute, rules.requests_per_minute, &mut self.requests, 1),
                (LimitKind::TokensPerMinute, rules.tokens_per_minute, &mut self.tokens, ask.tokens),
            ];
            for (kind, most, meter, amount) in minute {
                let wait = most.map(|most| meter.wait(when.now, shared(most), amount)).unwrap_or_default();
                if !wait.is_zero() {
                    refuse(kind, wait);
                }
            }
            let periods = [
                (LimitKind::TokensPerDay, rules.tokens_per_day, self.day.used_in(day), day_left),
                (LimitKind::TokensPerMonth, rules.tokens_per_month, self.month.used_in(month), month_left),
            ];
            for (kind, most, used, left) in periods {
                let Some(most) = most.map(shared) else { continue };
                // More than all of it can only be asked of a fresh one.
                if used.saturating_add(ask.tokens.min(most)) > most {
                    refuse(kind, left);
                }
            }
        }
        if let (None, Some(most)) = (longest, rules.concurrent) {
            let most = (most / ask.instances.max(1)).max(1);
            if count(&self.in_flight) >= most {
                longest = Some((LimitKind::Concurrent, SLOT_WAIT));
            }
        }
        longest.map_or(Ok(()), Err)
    }

    /// One more slot is taken.
    pub(super) fn occupy(&self) {
        change(&self.in_flight, 1);
    }

    /// One less.
    pub(super) fn vacate(&self) {
        change(&self.in_flight, -1);
    }

    pub(super) fn count(&mut self, rules: &LimitRules, tokens: u64, when: When) {
        if rules.requests_per_minute.is_some() {
            self.requests.add(when.now, 1);
        }
        self.use_tokens(rules, tokens, when);
    }

    fn use_tokens(&mut self, rules: &LimitRules, tokens: u64, when: When) {
        if rules.tokens_per_minute.is_some() {
            self.tokens.add(when.now, tokens);
        }
        if rules.tokens_per_day.is_some() {
            self.day.add(when.today.day, tokens);
        }
        if rules.tokens_per_month.is_some() {
            self.month.add(when.today.month, tokens);
        }
    }

    fn give_tokens_back(&mut self, rules: &LimitRules, tokens: u64, taken: When, now: When) {
        if rules.tokens_per_minute.is_some() {
            self.tokens.give_back(taken.now, now.now, tokens);
        }
        if rules.tokens_per_day.is_some() {
            self.day.give_back(taken.today.day, tokens);
        }
        if rules.tokens_per_month.is_some() {
            self.month.give_back(taken.today.month, tokens);
        }
    }

    pub(super) fn used(&mut self, kind: LimitKind, when: When) -> u64 {
        match kind {
            LimitKind::RequestsPerMinute => self.requests.used(when.now),
            LimitKind::TokensPerMinute => self.tokens.used(when.now),
            LimitKind::Concurrent => count(&self.in_flight),
            LimitKind::TokensPerDay => self.day.used_in(when.today.day),
            LimitKind::TokensPerMonth => self.month.used_in(when.today.month),
        }
    }

    /// Takes in what all gateways together have used, ourselves included.
    pub(super) fn hear(&mut self, kind: LimitKind, by_all: u64, when: When) {
        let others = Others { used: by_all.saturating_sub(self.used(kind, when)), at: when };
        match self.others.iter_mut().find(|(of, _)| *of == kind) {
            Some((_, known)) => *known = others,
            None => self.others.push((kind, others)),
        }
    }

    /// What all gateways together have used, as far as we have heard of the others.
    pub(super) fn used_by_all(&mut self, kind: LimitKind, when: When) -> u64 {
        let counts = |at: When| match kind {
            LimitKind::RequestsPerMinute | LimitKind::TokensPerMinute => when.now.since(at.now) < MINUTE,
            LimitKind::Concurrent => false,
            LimitKind::TokensPerDay => at.today.day == when.today.day,
            LimitKind::TokensPerMonth => at.today.month == when.today.month,
        };
        let others = self.others.iter().find(|(of, others)| *of == kind && counts(others.at));
        let others = others.map_or(0, |(_, others)| others.used);
        self.used(kind, when).saturating_add(others)
    }

    pub(super) fn settle(
        &mut self,
        rules: &LimitRules,
        reserved: u64,
        charge: Charge,
        taken: When,
        now: When,
    ) {
        match charge {
            Charge::Nothing => {
                if rules.requests_per_minute.is_some() {
                    self.requests.give_back(taken.now, now.now, 1);
                }
                self.give_tokens_back(rules, reserved, taken, now);
            }
            Charge::Tokens(used) if used <= reserved => {
                self.give_tokens_back(rules, reserved - used, taken, now);
            }
            // A debt: who comes next waits for it.
            Charge::Tokens(used) => self.use_tokens(rules, used - reserved, now),
        }
    }
}
