//! What the process takes of its machine.

/// Memory that is really there, in bytes. `statm` stays readable where a unit hides the rest of `/proc`
/// (`ProcSubset=pid`).
pub fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    pages(&statm)?.checked_mul(u64::try_from(rustix::param::page_size()).ok()?)
}

/// The second number: resident pages (proc(5)).
fn pages(statm: &str) -> Option<u64> {
    statm.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_pages_are_the_second_number() {
        assert_eq!(pages("9041 1234 567 8 0 9 0\n"), Some(1234));
        assert_eq!(pages(""), None);
        assert!(resident().is_some_and(|bytes| bytes > 100_000));
    }
}
