//! Where histograms have their edges, in seconds: as finely as models and gateways differ.

/// Whole answers take from milliseconds to minutes.
pub(super) const DURATION: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0];

/// A first token takes from 50 ms to a minute.
pub(super) const FIRST_TOKEN: &[f64] = &[0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 12.0, 25.0, 60.0];

/// A small request costs tens of microseconds, the largest body and the longest stream milliseconds.
pub(super) const OVERHEAD: &[f64] =
    &[0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01];

/// Models write ten to a thousand tokens a second, and pause for seconds.
pub(super) const BETWEEN: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// A store in the same room answers within a millisecond.
pub(super) const STORE: &[f64] = &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0];
