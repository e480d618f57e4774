//! The store stands still, dies and comes back.

use nix::sys::signal::Signal;

use super::*;

const TIMEOUT: Duration = Duration::from_millis(20);
/// What nobody waits for who keeps to [`TIMEOUT`], however busy the machine is.
const LATE: Duration = Duration::from_secs(4);

/// Asks from sixteen tasks at once; the longest that one of them took, and whether all were told.
fn all_gone(gateway: &Gateway) -> Duration {
    let tasks: Vec<_> = (0..16)
        .map(|_| {
            let store = gateway.store().clone();
            gateway.requests.spawn(async move {
                let begun = Instant::now();
                let result = store.take(&[ask("a", 1000, 1)], SystemTime::now()).await;
                assert_eq!(result, Err(Gone));
                begun.elapsed()
            })
        })
        .collect();
    tasks.into_iter().map(|task| gateway.requests.block_on(task).unwrap()).max().unwrap()
}

#[test]
fn a_store_that_stands_still_delays_nobody_and_returns_by_itself() {
    let server = Server::start();
    let gateway = Gateway::up(&RedisPlan { timeout: TIMEOUT, ..server.plan() });
    let mut in_time = 0;
    for _ in 0..5 {
        gateway.wait_for(State::Up);
        server.signal(Signal::SIGSTOP);
        let first = all_gone(&gateway);
        assert!(first < LATE, "{first:?}");
        assert_eq!(gateway.store().state(), State::Down);
        let later = (0..20).map(|_| all_gone(&gateway)).min().unwrap();
        assert!(later < TIMEOUT, "at once: {later:?}");
        // A machine with other things to do may be late now and then.
        in_time += u32::from(first <= TIMEOUT * 3);
        server.signal(Signal::SIGCONT);
    }
    assert!(in_time > 0, "never within the limit");
    gateway.wait_for(State::Up);
    gateway.taken(&[ask("b", 10, 1)]);
    let told = gateway.told.outcomes.lock().unwrap();
    assert!(told.contains(&Outcome::Timeout));
    assert_eq!(gateway.told.states.lock().unwrap()[..3], [State::Up, State::Down, State::Up]);
}

#[test]
fn a_store_that_nobody_asks_is_watched() {
    let mut server = Server::start();
    let gateway = Gateway::up(&server.plan());
    server.signal(Signal::SIGSTOP);
    gateway.wait_for(State::Down);
    server.signal(Signal::SIGCONT);
    gateway.wait_for(State::Up);
    server.kill();
    gateway.wait_for(State::Down);
}

#[test]
fn changes_made_while_the_store_is_down_reach_it_when_it_is_back() {
    let server = Server::start();
    let gateway = Gateway::up(&RedisPlan { timeout: TIMEOUT, ..server.plan() });
    let day = Span::day(SystemTime::now());
    let asks = [Ask { window: day, ..ask("tokens", 1_000_000, 1000) }];
    gateway.taken(&asks);
    server.signal(Signal::SIGSTOP);
    assert_eq!(gateway.take(&asks), Err(Gone));
    for _ in 0..10_000 {
        gateway.store().give(vec![Change { window: day, ..change("tokens", 3) }]);
        thread::yield_now();
    }
    server.signal(Signal::SIGCONT);
    let dropped = || gateway.told.dropped.load(Ordering::Relaxed);
    let Span::Day { number } = day else { panic!() };
    let key = format!("share:tokens:d{number}");
    // The call that got no answer may have been counted.
    eventually("all is there but what was dropped", || {
        let used = server.ask::<u64>(&["GET", &key]);
        [1000, 2000].map(|taken| taken + 3 * (10_000 - dropped())).contains(&used)
    });
}

#[test]
fn a_store_that_starts_empty_counts_what_each_gateway_has_counted() {
    let mut server = Server::start();
    let gateways = [Gateway::up(&server.plan()), Gateway::up(&server.plan())];
    server.within_a_minute(Duration::from_secs(15));
    let all = |gateway: &Gateway, local: u64| Ask { local, ..ask(&gateway_key(gateway), 100, 1) };
    for gateway in &gateways {
        assert_eq!(gateway.taken(&[Ask { amount: 40, ..all(gateway, 0) }]).len(), 1);
    }
    server.restart();
    for gateway in &gateways {
        // The first call finds the connection closed, whatever was noticed meanwhile.
        let _ = gateway.take(&[all(gateway, 40)]);
    }
    gateways.iter().for_each(|gateway| gateway.wait_for(State::Up));
    assert_eq!(gateways[0].taken(&[all(&gateways[0], 30)]), [100 - 31]);
    // It knows of the first one's by now, and believes the second one still.
    assert_eq!(gateways[1].taken(&[all(&gateways[1], 50)]), [100 - 51]);
    assert_eq!(gateways[0].taken(&[all(&gateways[0], 31)]), [100 - 52], "both are in it");
    let day = Ask { window: Span::day(SystemTime::now()), local: 70, ..ask("budget", 100, 1) };
    assert_eq!(gateways[0].taken(&[day]), [29]);
}

/// All gateways use the same counter.
fn gateway_key(_: &Gateway) -> String {
    "shared".to_owned()
}

#[test]
fn a_store_that_has_run_for_a_while_is_believed() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    let (minute, _) = server.within_a_minute(Duration::from_secs(5));
    server.ask::<()>(&["SET", "share:born", "1"]);
    let known = Ask { local: 70, ..ask("known", 100, 1) };
    server.ask::<()>(&["SET", &format!("share:known:{minute}"), "10"]);
    assert_eq!(gateway.taken(std::slice::from_ref(&known)), [89]);
    // What it has never heard of is another thing.
    assert_eq!(gateway.taken(&[Ask { key: "new".into(), ..known.clone() }]), [29]);
    // A new minute of a counter that it knows begins with nothing.
    server.ask::<()>(&["SET", &format!("share:before:{}", minute - 1), "0"]);
    assert_eq!(gateway.taken(&[Ask { key: "before".into(), ..known }]), [99]);
}

#[test]
fn a_store_that_cannot_be_written_is_down() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(gateway.take(&[ask("a", 10, 1)]), Err(Gone));
    thread::sleep(Duration::from_millis(500));
    assert_eq!(gateway.store().state(), State::Down, "it answers, but that is of no use");
    server.ask::<()>(&["CONFIG", "SET", "maxmemory", "0"]);
    gateway.wait_for(State::Up);
    assert_eq!(*gateway.told.outcomes.lock().unwrap(), [Outcome::Error]);
}

#[test]
fn nothing_goes_on_when_the_store_is_dropped() {
    let server = Server::start();
    let mut gateway = Gateway::up(&server.plan());
    let clients = || server.ask::<String>(&["CLIENT", "LIST"]).lines().count();
    assert_eq!(clients(), 2);
    gateway.store = None;
    eventually("only the one that asks is left", || clients() == 1);
}
