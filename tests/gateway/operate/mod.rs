//! What an operator does to a running daemon: reload, stop, upgrade; and what a bad configuration does not do to it.
//!
//! The tables name the cases of a study of gateways in operation; a row is right when what was seen is what was expected.
//! `OPERATE=RL-03,CF-17` runs only these.

mod config_faults; // fifty faults of a configuration, three ways each
mod crowd; // many clients at once, and what became of each
mod daemons; // processes that are started, upgraded and asked by a test
mod farm; // a backing model that says which configuration it was asked by
mod package; // units and what systemd is told
mod reloads; // configurations that change while requests run
mod stops; // how a daemon leaves
mod upgrades; // binaries that change while requests run

use crate::kit::table::Table;

/// `RL-01` to `RL-22`.
#[test]
fn reload_upgrade_and_stop() {
    let mut table = Table::new("Reload, upgrade, stop: 22 cases", "OPERATE");
    reloads::cases(&mut table);
    upgrades::cases(&mut table);
    stops::cases(&mut table);
    table.done("RL", 22);
}
