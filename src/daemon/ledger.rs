//! What has been used of limits, what is held, and learnt of tokens, whatever the configuration of the day.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use super::held;
use crate::names::{Alias, PolicyName, PoolName, TenantId};
use crate::rules::buffered::Buffered;
use crate::rules::content::Standing;
use crate::rules::limits::book::Book;
use crate::rules::limits::period::{Change, Spent};
use crate::rules::tokens::Learned;
use crate::rules::turns::Turns;

/// All books of all generations. An entity that keeps its name keeps its counts.
#[derive(Default)]
pub struct Ledger {
    tenants: Shelf<TenantId, Book>,
    pools: Shelf<PoolName, Book>,
    buffered: Shelf<TenantId, Buffered>,
    turns: Shelf<TenantId, Turns>,
    learned: Shelf<(TenantId, Alias), Learned>,
    moderators: Shelf<PolicyName, Standing>,
}

struct Shelf<K, V>(Mutex<HashMap<K, Arc<V>>>);

impl<K, V> Default for Shelf<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V: Default> Shelf<K, V> {
    fn get(&self, key: K) -> Arc<V> {
        held(&self.0).entry(key).or_default().clone()
    }
}

/// What an entity has used of its days and months, under its name.
pub type Used = (String, Spent, Spent);

impl Ledger {
    /// Where a tenant, its keys and its aliases are counted.
    pub fn tenant(&self, tenant: &TenantId) -> Arc<Book> {
        self.tenants.get(tenant.clone())
    }

    /// Where a pool is counted.
    pub fn pool(&self, pool: &PoolName) -> Arc<Book> {
        self.pools.get(pool.clone())
    }

    /// Where a tenant's request bodies in memory are counted.
    pub fn buffered(&self, tenant: &TenantId) -> Buffered {
        Buffered::clone(&self.buffered.get(tenant.clone()))
    }

    /// Where a tenant's requests take turns with those of others.
    pub fn turns(&self, tenant: &TenantId) -> Turns {
        Turns::clone(&self.turns.get(tenant.clone()))
    }

    /// What an alias's requests have taught us.
    pub fn learned(&self, tenant: &TenantId, alias: &Alias) -> Arc<Learned> {
        self.learned.get((tenant.clone(), alias.clone()))
    }

    /// How the moderator of a policy stands.
    pub fn moderator(&self, policy: &PolicyName) -> Arc<Standing> {
        self.moderators.get(policy.clone())
    }

    /// What has been used of days and months, of all tenants and their keys.
    pub fn used(&self) -> Vec<Used> {
        let books: Vec<_> = held(&self.tenants.0).values().cloned().collect();
        let used = |book: Arc<Book>| book.spent();
        books.into_iter().flat_map(used).map(|(name, day, month)| (name.to_string(), day, month)).collect()
    }

    /// Counts what another process has used.
    pub fn settle(&self, owed: Vec<Owed>) {
        for (name, day, month) in owed {
            let Some(tenant) = name.split('/').nth(1) else { continue };
            self.tenant(&TenantId::new(tenant)).adjust(&name, day, month);
        }
    }

    /// Takes over what was kept, before the first request. A name belongs to the tenant that stands in it.
    pub fn restore(&self, used: Vec<Used>) {
        for (name, day, month) in used {
            let Some(tenant) = name.split('/').nth(1) else { continue };
            self.tenant(&TenantId::new(tenant)).restore(&name, day, month);
        }
    }
}

/// What has been used of an entity's day and month since somebody else took its counts over.
pub type Owed = (String, Change, Change);

/// What a tenant is called in books, stores and files. Names of tenants and keys hold no slash.
pub fn tenant_name(tenant: &TenantId) -> String {
    format!("t/{tenant}")
}

/// What a key is called there.
pub fn key_name(tenant: &TenantId, key: &str) -> String {
    format!("k/{tenant}/{key}")
}

/// What an alias is called there.
pub fn alias_name(tenant: &TenantId, alias: &Alias) -> String {
    format!("a/{tenant}/{alias}")
}

/// What a pool is called there.
pub fn pool_name(pool: &PoolName) -> String {
    format!("p/{pool}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_comes_back_to_whom_it_belongs() {
        let (acme, globex) = (TenantId::new("acme"), TenantId::new("globex"));
        let spent = |used| Spent { number: 3, used };
        let kept = vec![
            (tenant_name(&acme), spent(1), spent(2)),
            (key_name(&acme, "web"), spent(3), spent(4)),
            (tenant_name(&globex), spent(5), spent(6)),
            ("nonsense".to_owned(), spent(7), spent(8)),
        ];
        let ledger = Ledger::default();
        ledger.restore(kept.clone());
        let mut used = ledger.used();
        used.sort_by(|one, other| one.0.cmp(&other.0));
        let mut expected = kept[..3].to_vec();
        expected.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(used, expected);
        assert_eq!(ledger.tenant(&acme).spent().len(), 2);
    }
}
