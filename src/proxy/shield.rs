//! Keeps strangers from trying keys by the thousand: counts requests without a good key by client address.
//!
//! It never stands in the way of a good key, so an address that many share costs nobody else anything.

use std::net::IpAddr;
use std::time::Duration;

use pingora_core::protocols::http::ServerSession as HttpSession;
use pingora_limits::rate::Rate;

use super::network::Network;
use crate::config::snapshot::Snapshot;
use crate::error::GatewayError;

/// Rows and columns of the sketch. A million addresses with one request each are over-counted by about four;
/// it takes 16 MiB.
const HASHES: usize = 4;
const SLOTS: usize = 1 << 18;

/// The count of all addresses. One for the process: a reload does not forget.
pub struct Shield(Rate);

impl Default for Shield {
    fn default() -> Self {
        Self(Rate::new_with_estimator_config(Duration::from_secs(60), HASHES, SLOTS))
    }
}

impl Shield {
    /// What a request without a good key is told: that it has none, or that there were too many.
    pub fn refuse(&self, session: &HttpSession, snapshot: &Snapshot, no_key: GatewayError) -> GatewayError {
        let Some(address) = session.client_addr().and_then(|address| address.as_inet()) else {
            return no_key;
        };
        if self.count(address.ip()) > snapshot.limiting.unknown_keys {
            return GatewayError::Flood;
        }
        no_key
    }

    /// Counts one more from this address, and says how many that makes in this minute.
    fn count(&self, address: IpAddr) -> u64 {
        u64::try_from(self.0.observe(&Network::from(address), 1)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_counted_apart_and_networks_of_ipv6_together() {
        let shield = Shield::default();
        let count = |address: &str| shield.count(address.parse().expect("an address"));
        assert_eq!((count("192.0.2.1"), count("192.0.2.1"), count("192.0.2.2")), (1, 2, 1));
        assert_eq!((count("2001:db8::1"), count("2001:db8::2"), count("2001:db8:0:1::1")), (1, 2, 1));
        assert_eq!(count("::ffff:192.0.2.1"), 3);
    }

    #[test]
    fn a_million_addresses_do_not_make_a_flood_of_one() {
        let shield = Shield::default();
        for n in 0..1_000_000_u32 {
            shield.count(IpAddr::V4((0x0a00_0000 + n).into()));
        }
        let most = (0..1000_u32).map(|n| shield.count(IpAddr::V4((0xc0a8_0000 + n).into()))).max();
        assert!(most.expect("a thousand") < 20, "{most:?}");
    }
}
