mod faults;
mod server;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::rules::store::Span;
use server::Server;

/// One gateway: its store lives on one runtime, its requests on another.
struct Gateway {
    store: Option<Arc<RedisStore>>,
    told: Arc<Told>,
    requests: Runtime,
    _background: Runtime,
}

#[derive(Default)]
struct Told {
    outcomes: Mutex<Vec<Outcome>>,
    states: Mutex<Vec<State>>,
    dropped: AtomicU64,
}

fn runtime(threads: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(threads).enable_all().build().unwrap()
}

impl Gateway {
    fn new(plan: &RedisPlan) -> Self {
        let background = runtime(1);
        let told = Arc::<Told>::default();
        let (took, state, dropped) = (told.clone(), told.clone(), told.clone());
        let hooks = Hooks {
            took: Box::new(move |outcome, _| took.outcomes.lock().unwrap().push(outcome)),
            state: Box::new(move |now| state.states.lock().unwrap().push(now)),
            dropped: Box::new(move |lost| {
                dropped.dropped.fetch_add(lost, Ordering::Relaxed);
            }),
        };
        let store = RedisStore::new(plan, hooks, background.handle().clone()).unwrap();
        Self { store: Some(Arc::new(store)), told, requests: runtime(2), _background: background }
    }

    fn up(plan: &RedisPlan) -> Self {
        let gateway = Self::new(plan);
        gateway.wait_for(State::Up);
        gateway
    }

    fn store(&self) -> &Arc<RedisStore> {
        self.store.as_ref().unwrap()
    }

    fn wait_for(&self, state: State) {
        eventually(&format!("{state:?}"), || self.store().state() == state);
    }

    fn take(&self, asks: &[Ask]) -> Result<Verdict, Gone> {
        self.requests.block_on(self.store().take(asks, SystemTime::now()))
    }

    fn taken(&self, asks: &[Ask]) -> Vec<u64> {
        match self.take(asks) {
            Ok(Verdict::Taken { remaining }) => remaining,
            other => panic!("{other:?}"),
        }
    }

    fn full(&self, asks: &[Ask]) -> (usize, Duration, Vec<u64>) {
        match self.take(asks) {
            Ok(Verdict::Full { which, wait, remaining }) => (which, wait, remaining),
            other => panic!("{other:?}"),
        }
    }

    /// What is left of a counter, without taking.
    fn left(&self, key: &str, limit: u64) -> u64 {
        match self.take(&[ask(key, limit, 0)]).unwrap() {
            Verdict::Taken { remaining } | Verdict::Full { remaining, .. } => remaining[0],
        }
    }
}

fn eventually(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(15), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn ask(key: &str, limit: u64, amount: u64) -> Ask {
    Ask { key: key.into(), window: Span::Minute, limit, amount, local: 0, share: limit }
}

fn change(key: &str, amount: i64) -> Change {
    Change { key: key.into(), window: Span::Minute, taken_at: SystemTime::now(), amount }
}

#[test]
fn two_gateways_with_64_takers_let_exactly_the_limit_through() {
    let server = Server::start();
    let gateways = [Gateway::up(&server.plan()), Gateway::up(&server.plan())];
    for round in 0..20 {
        server.within_a_minute(Duration::from_secs(3));
        let key = format!("t:acme:{round}");
        let takers: Vec<_> = (0..64)
            .map(|n| {
                let gateway = &gateways[n % 2];
                let (store, key) = (gateway.store().clone(), key.clone());
                gateway.requests.spawn(async move {
                    let mut through = 0;
                    for _ in 0..5 {
                        match store.take(&[ask(&key, 100, 1)], SystemTime::now()).await.unwrap() {
                            Verdict::Taken { .. } => through += 1,
                            Verdict::Full { which, wait, remaining } => {
                                assert_eq!((which, remaining), (0, vec![0]));
                                assert!(wait > Duration::from_millis(600) && wait < Duration::from_secs(61));
                            }
                        }
                    }
                    through
                })
            })
            .collect();
        let through: u64 =
            takers.into_iter().map(|taker| gateways[0].requests.block_on(taker).unwrap()).sum();
        assert_eq!(through, 100, "round {round}");
    }
    let outcomes = gateways[0].told.outcomes.lock().unwrap();
    assert!(outcomes.contains(&Outcome::Taken) && outcomes.contains(&Outcome::Full));
}

#[test]
fn all_that_is_asked_is_taken_or_nothing() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    server.within_a_minute(Duration::from_secs(3));
    let now = SystemTime::now();
    let day = Ask { window: Span::day(now), ..ask("a", 1000, 10) };
    let asks =
        [ask("a", 100, 1), ask("b", 5, 1), day, Ask { window: Span::month(now), ..ask("a", 2000, 10) }];
    for n in 1..=5 {
        assert_eq!(gateway.taken(&asks), [100 - n, 5 - n, 1000 - 10 * n, 2000 - 10 * n]);
    }
    for _ in 0..3 {
        let (which, _, remaining) = gateway.full(&asks);
        assert_eq!((which, remaining), (1, vec![95, 0, 950, 1950]));
    }
    assert_eq!(gateway.taken(&[]), Vec::<u64>::new());
}

#[test]
fn a_day_and_a_month_are_full_until_they_end() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    for window in [Span::day, Span::month] {
        let now = SystemTime::now();
        let full = Ask { window: window(now), ..ask("tokens", 10, 10) };
        assert_eq!(gateway.taken(std::slice::from_ref(&full)), [0]);
        // The minute is free, the period has to wait: for its end, and not a moment less.
        let before = SystemTime::now();
        let (which, wait, _) = gateway.full(&[ask("other", 10, 1), full.clone()]);
        let left = full.window.end().unwrap().duration_since(before).unwrap();
        assert_eq!(which, 1);
        assert!(wait <= left + Duration::from_millis(1) && wait + Duration::from_secs(1) > left, "{wait:?}");
        let next = Ask { window: window(full.window.end().unwrap()), ..full };
        assert_eq!(gateway.taken(&[next]), [0], "the next one is empty");
    }
}

#[test]
fn what_the_minute_before_took_fades_as_this_minute_passes() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    let (minute, _) = server.within_a_minute(Duration::from_secs(10));
    // With these numbers, one comes free in each millisecond.
    server.ask::<()>(&["SET", &format!("share:slide:{}", minute - 1), "60000"]);
    let (_, before) = server.clock();
    let left = gateway.left("slide", 60_000);
    let (_, after) = server.clock();
    assert!((before..=after).contains(&left), "{before} {left} {after}");

    let more = ask("slide", 60_000, after + 2500);
    let asked = Instant::now();
    let (_, wait, _) = gateway.full(std::slice::from_ref(&more));
    assert!(wait <= Duration::from_millis(2500) && wait > Duration::from_millis(1000), "{wait:?}");
    thread::sleep(wait.saturating_sub(asked.elapsed() + Duration::from_millis(900)));
    gateway.full(std::slice::from_ref(&more));
    thread::sleep(Duration::from_millis(901));
    gateway.taken(&[more]);

    // A minute that is full by itself has to become the one before, and then to fade.
    gateway.taken(&[ask("self", 100, 100)]);
    let (_, before) = server.clock();
    let (_, wait, _) = gateway.full(&[ask("self", 100, 25)]);
    let (_, after) = server.clock();
    let (least, most) = (60_000 - after + 15_000, 60_000 - before + 15_000);
    assert!((u128::from(least)..=u128::from(most)).contains(&wait.as_millis()), "{least} {wait:?} {most}");
}

#[test]
fn what_is_given_back_can_be_taken_again() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    server.within_a_minute(Duration::from_secs(5));
    gateway.taken(&[ask("a", 10, 10)]);
    gateway.full(&[ask("a", 10, 1)]);
    gateway.store().give(vec![change("a", -1), change("a", -3)]);
    eventually("four are back", || gateway.left("a", 10) == 4);
    assert_eq!(gateway.taken(&[ask("a", 10, 4)]), [0]);

    // More was used than was taken.
    gateway.taken(&[ask("b", 100, 10)]);
    gateway.store().give(vec![change("b", 25)]);
    eventually("25 more are used", || gateway.left("b", 100) == 65);
    // Never less than nothing.
    gateway.store().give(vec![change("b", -1000)]);
    eventually("all is back", || gateway.left("b", 100) == 100);
    // Of what was never there nothing comes back, and of what is over neither.
    let old = Change { taken_at: SystemTime::now() - Duration::from_secs(150), ..change("b", 7) };
    let day = Change { window: Span::Day { number: 20_000 }, ..change("d", 5) };
    gateway.store().give(vec![change("c", -5), old, day, change("b", 1)]);
    eventually("the last one came", || gateway.left("b", 100) == 99);
    assert_eq!(gateway.left("c", 100), 100);
    assert_eq!(server.ask::<Vec<String>>(&["KEYS", "share:[cd]:*"]), Vec::<String>::new());
    assert_eq!(gateway.told.dropped.load(Ordering::Relaxed), 0);
}

#[test]
fn what_was_taken_in_the_minute_before_is_given_back_there() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    let (minute, _) = server.within_a_minute(Duration::from_secs(5));
    let before = format!("share:a:{}", minute - 1);
    server.ask::<()>(&["SET", &before, "50"]);
    let taken_at = SystemTime::now() - Duration::from_secs(60);
    gateway.store().give(vec![Change { taken_at, ..change("a", -20) }, change("a", 3)]);
    eventually("20 are back", || server.ask::<u64>(&["GET", &before]) == 30);
    assert_eq!(server.ask::<u64>(&["GET", &format!("share:a:{minute}")]), 3);
}

#[test]
fn every_counter_goes_away_by_itself() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    let now = SystemTime::now();
    gateway.taken(&[ask("a", 10, 1), Ask { window: Span::day(now), ..ask("a", 10, 1) }]);
    gateway.taken(&[Ask { window: Span::month(now), ..ask("a", 10, 1) }]);
    gateway.store().give(vec![change("b", 4)]);
    eventually("the change came", || !server.ask::<Vec<String>>(&["KEYS", "share:b:*"]).is_empty());
    let mut lasting = Vec::new();
    for key in server.ask::<Vec<String>>(&["KEYS", "*"]) {
        let seconds: i64 = server.ask(&["TTL", &key]);
        let longest = match key.rsplit_once(':').unwrap().1.as_bytes()[0] {
            b'm' => 32 * 24 * 3600,
            b'd' => 25 * 3600 + 1,
            _ => 126,
        };
        assert!(seconds <= longest, "{key}: {seconds}");
        if seconds < 60 {
            lasting.push(key);
        }
    }
    assert_eq!(lasting, ["share:born"]);
}

#[test]
fn a_request_that_is_left_gives_back_what_it_took() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    for round in 0..200_u64 {
        let store = gateway.store().clone();
        gateway.requests.block_on(async move {
            let asks = [ask("a", 1000, 5), ask("b", 1000, 1)];
            let patience = Duration::from_micros(round * 3);
            // The answer may come first; then it has been taken.
            if let Ok(Ok(taken)) = tokio::time::timeout(patience, store.take(&asks, SystemTime::now())).await
            {
                assert!(matches!(taken, Verdict::Taken { .. }));
                store.give(vec![change("a", -5), change("b", -1)]);
            }
        });
    }
    eventually("all is back", || gateway.left("a", 1000) == 1000 && gateway.left("b", 1000) == 1000);
    thread::sleep(Duration::from_millis(50));
    assert_eq!((gateway.left("a", 1000), gateway.left("b", 1000)), (1000, 1000));
    assert_eq!(gateway.store().state(), State::Up);
}

#[test]
fn a_server_that_forgot_the_scripts_is_told_them_again() {
    let server = Server::start();
    let gateway = Gateway::up(&server.plan());
    server.ask::<()>(&["SCRIPT", "FLUSH"]);
    assert_eq!(gateway.taken(&[ask("a", 10, 4)]), [6]);
    server.ask::<()>(&["SCRIPT", "FLUSH"]);
    gateway.store().give(vec![change("a", -1)]);
    eventually("it is back", || gateway.left("a", 10) == 7);
    assert_eq!(*gateway.told.states.lock().unwrap(), [State::Up]);
}

#[test]
fn databases_and_prefixes_are_apart() {
    let server = Server::start();
    let plan = server.plan();
    let plans = [plan.clone(), RedisPlan { db: 3, ..plan.clone() }, RedisPlan { prefix: "x".into(), ..plan }];
    for plan in &plans {
        assert_eq!(Gateway::up(plan).taken(&[ask("a", 10, 10)]), [0]);
    }
}

#[test]
fn only_who_may_sign_in_is_let_in() {
    let rights = ["~share:*", "+eval", "+evalsha", "+ping", "+time", "+get", "+mget", "+set"];
    let mut arguments = vec!["--requirepass", "for all", "--user", "byname", "on", ">for one"];
    arguments.extend(rights);
    let server = Server::start_with(&arguments);
    let plan = |username: Option<&str>, password: Option<&str>| RedisPlan {
        username: username.map(str::to_owned),
        password: password.map(Secret::new),
        ..server.plan()
    };
    for (username, password) in [(None, "for all"), (Some("byname"), "for one")] {
        let gateway = Gateway::up(&plan(username, Some(password)));
        let key = username.unwrap_or("none");
        assert_eq!(gateway.taken(&[ask(key, 10, 4)]), [6], "these rights are enough");
        gateway.store().give(vec![change(key, -1)]);
        eventually("it is back", || gateway.left(key, 10) == 7);
    }
    let strangers = [
        plan(None, None),
        plan(None, Some("wrong")),
        plan(Some("byname"), Some("for all")),
        RedisPlan { prefix: "other".into(), ..plan(Some("byname"), Some("for one")) },
    ];
    for stranger in &strangers {
        let gateway = Gateway::new(stranger);
        eventually("it is told", || !gateway.told.states.lock().unwrap().is_empty());
        // Some attempts more.
        thread::sleep(Duration::from_millis(400));
        assert_eq!(*gateway.told.states.lock().unwrap(), [State::Down], "once, and not for each attempt");
        assert_eq!((gateway.store().state(), gateway.take(&[ask("a", 10, 1)])), (State::Down, Err(Gone)));
    }
}

#[test]
fn tls_is_spoken_with_an_authority_of_ones_own() {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(authority, authority_key);
    let key = rcgen::KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned()];
    let cert = rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap().pem();

    let scratch = crate::daemon::scratch::Scratch::new();
    let file = |name: &str, text: &str| {
        let path = scratch.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (cert, key) = (file("cert", &cert), file("key", &key.serialize_pem()));
    let server = Server::start_with(&[
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
        "--requirepass",
        "pw",
    ]);
    let plan = RedisPlan { tls: true, password: Some(Secret::new("pw")), ..server.plan() };
    let ours = RedisPlan { ca: Some(ca.into_bytes()), ..plan.clone() };
    assert_eq!(Gateway::up(&ours).taken(&[ask("a", 10, 4)]), [6]);

    // Nobody vouches for it otherwise, and it is not spoken to in the clear.
    for other in [plan, RedisPlan { tls: false, ..ours.clone() }] {
        let gateway = Gateway::new(&other);
        thread::sleep(Duration::from_millis(300));
        assert_eq!(gateway.store().state(), State::Down);
    }
    let nonsense = RedisPlan { ca: Some(b"no certificate".to_vec()), ..ours };
    let runtime = runtime(1);
    let refused = RedisStore::new(&nonsense, Hooks::default(), runtime.handle().clone()).err();
    assert_eq!(refused.unwrap(), "the limits store's ca holds no certificate in PEM");
}
