use super::*;

#[test]
fn there_is_time_for_every_address_and_for_an_answer() {
    let all = Duration::from_secs(4);
    for (addresses, one) in [(0, 2000), (1, 2000), (2, 1333), (3, 1000), (100, 1000)] {
        assert_eq!(patience(all, addresses).as_millis(), one, "{addresses}");
    }
}
