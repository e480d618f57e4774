//! The report for machines: `relay.json` in cargo's target directory, every round and every median in it.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::row::Row;
use super::{Findings, goals};
use crate::args::Options;
use crate::fleet;
use crate::measure::Cell;
use crate::memory::{STREAMS, Weight};

/// Writes the file and says where it is. The error is that of the file system.
pub fn write(options: &Options, findings: &Findings) -> io::Result<PathBuf> {
    let report = json!({
        "rounds": options.rounds,
        "seconds": options.seconds,
        "medians": findings.rows.iter().map(|row| median(findings, row)).collect::<Vec<_>>(),
        "memory": findings.memory.iter().map(memory).collect::<Vec<_>>(),
        "goals": goals::all(findings).iter().map(goal).collect::<Vec<_>>(),
        "cells": findings.cells.iter().map(cell).collect::<Vec<_>>(),
    });
    let path = fleet::scratch().with_file_name("relay.json");
    fs::write(&path, format!("{report:#}\n"))?;
    Ok(path)
}

fn median(findings: &Findings, row: &Row) -> Value {
    json!({
        "scenario": row.scenario,
        "target": row.target.name(),
        "unit": row.unit.name(),
        "per_second": row.per_second,
        "busy_percent": row.busy,
        "cpu_us": row.cpu,
        "cpu_us_lowest": row.lowest,
        "cpu_ratio_to_bare": row.cpu.and_then(|_| findings.ratio(row.scenario, row.target)),
        "p50_us": row.p50,
        "p99_us": row.p99,
        "connections_not_kept": row.closed,
    })
}

fn cell(cell: &Cell) -> Value {
    json!({
        "round": cell.round,
        "scenario": cell.scenario,
        "target": cell.target.name(),
        "seconds": cell.seconds,
        "requests": cell.requests,
        "chunks": cell.chunks,
        "cpu_us": cell.cpu_micros(),
        "stolen_percent": cell.stolen,
        "queued_percent": cell.queued,
        "p50_us": cell.latency_micros(0.50),
        "p99_us": cell.latency_micros(0.99),
        "failures": cell.failures,
    })
}

fn memory(weight: &Weight) -> Value {
    json!({
        "target": weight.target.name(),
        "streams": STREAMS,
        "before_kb": weight.before_kb,
        "after_kb": weight.after_kb,
        "kb_per_stream": weight.kb_per_stream(),
    })
}

fn goal(goal: &goals::Goal) -> Value {
    json!({ "what": goal.what, "at_most": goal.at_most, "found": goal.found, "verdict": goal.verdict() })
}
