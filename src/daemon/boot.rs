//! From a configuration to a running daemon: sockets, services, signals, readiness.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use pingora_core::apps::http_app::HttpServer as PageServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::listening::Service;

use super::admin::Admin;
use super::assemble::{Lasting, assemble};
use super::control::Control;
use super::fleet::Fleet;
use super::handover::{HandOver, TakeOver};
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::load::Loaded;
use super::reload::Reloader;
use super::run_dir::RunDir;
use super::secrets::secret;
use super::signals::{self, Asked};
use super::sockets::{self, Address, OnSockets, Sockets, Wanted};
use super::stop::Leaving;
use super::store::{Hooks, RedisPlan, RedisStore};
use super::{demo, detach, notify};
use crate::config::live::Live;
use crate::config::place::{Fault, Way};
use crate::config::plan::{Listener, Plan, StorePlan};
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::access_log::AccessLog;
use crate::proxy::door;
use crate::proxy::life::{Life, Stage};
use crate::rules::store::{State, Store};

/// What a listener's connections write through. Head and body of an ordinary answer fit, and so leave
/// in one send.
const WRITE_BUFFER: usize = 8 * 1024;
/// What a client's bytes are read through. Larger bodies are read past it. The allocator gives pages of
/// their own to anything from 16 KiB on, which many open streams would pay for.
const READ_BUFFER: usize = 8 * 1024;
/// Idle connections to backends that a thread keeps. Fewer than its requests at a time would mean new
/// connections all the time.
const KEPT_CONNECTIONS: usize = 2048;
/// More attempts than any configuration allows: our own rule counts them.
const MAX_ATTEMPTS: usize = 64;
/// Longer than any time to drain: our own watch ends the process, and Pingora would only cut it short.
const NEVER: u64 = 7 * 24 * 60 * 60;

/// How the daemon is to be started.
pub struct Start {
    /// The configuration file, to be read again on a reload.
    pub file: PathBuf,
    /// Whether to take over from the process that runs.
    pub upgrade: bool,
}

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps a good configuration from running: a secret, an address in use, no process to take over from.
pub fn serve(loaded: &Loaded, start: Start) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let plan = &loaded.plan;
    let told = |faults: &[Fault]| loaded.located(faults).to_string();
    let metrics = Arc::new(Metrics::new()?);
    let fleet = Arc::new(Fleet::new(&plan.boot.resolvers)?);
    let ledger = Arc::<Ledger>::default();
    let store = plan.store.as_ref().map(|store| shared_limits(store, &fleet, &metrics)).transpose();
    let store = store.map_err(|fault| told(&[fault]))?;
    let run_dir = run_dir(plan, &start).map_err(|fault| told(&[fault]))?;
    let (before, given) = match (&run_dir, start.upgrade) {
        (Some(run_dir), true) => TakeOver::ask(run_dir).map(|(before, given)| (Some(before), given))?,
        (None, true) => return Err("--upgrade needs `server.run_dir`, to find the process that runs".into()),
        (_, false) => (None, sockets::activated()),
    };
    let sockets = Sockets::open(&wanted(plan), given).map_err(|faults| told(&faults))?;
    let keeper = match (&plan.boot.state_dir, &store) {
        (Some(directory), None) => Some(Keeper::open(directory, ledger.clone())?),
        // The store keeps them.
        (Some(_), Some(_)) | (None, _) => None,
    };
    let lasting = Lasting { fleet, ledger, store };
    let assembled = assemble(plan, &metrics, &lasting).map_err(|faults| told(&faults))?;
    let unwise = assembled.unwise.clone();
    let live = Arc::new(Live::new(assembled.begin(&lasting.fleet)));
    let log = AccessLog::default();
    let writer = log.clone();
    std::thread::Builder::new()
        .name("access log".into())
        .spawn(move || writer.write_to(std::io::stdout()))?;

    let mut server = Server::new_with_opt_and_conf(None, conf(plan));
    server.bootstrap();
    let life = Arc::<Life>::default();
    let gateway = Gateway {
        live: live.clone(),
        metrics: metrics.clone(),
        log: log.clone(),
        shield: Arc::default(),
        life: life.clone(),
    };
    let reloader =
        Arc::new(Reloader::new(start.file, loaded, &unwise, live.clone(), metrics.clone(), lasting));
    for listener in &plan.boot.listen {
        let service = clients(listener, plan, &server.configuration, gateway.clone());
        server.add_service(OnSockets { service, sockets: sockets.clone() });
    }
    if let Some(address) = plan.boot.admin {
        let pages = PageServer::new_app(Admin { reloader: reloader.clone(), life: life.clone() });
        let mut service = Service::new("operator's pages".into(), pages);
        service.add_tcp(&address.to_string());
        service.threads = Some(1);
        server.add_service(OnSockets { service, sockets: sockets.clone() });
    }
    if let Some(address) = plan.boot.demo_model {
        let service = demo::service(address);
        server.add_service(OnSockets { service, sockets: sockets.clone() });
    }
    let leaving = Leaving::new(life, live, metrics, log, keeper, sockets, run_dir.clone());
    let leaving = Arc::new(leaving);
    let hand_over = Arc::new(HandOver::new(leaving.clone()));
    obey(&leaving, &reloader, &hand_over)?;
    let told = leaving.watch();
    announce(Announcement {
        addresses: addresses(plan).collect(),
        before,
        run_dir,
        reloader,
        hand_over,
        leaving,
    });
    server.run(RunArgs { shutdown_signal: Box::new(told) });
    Ok(ExitCode::SUCCESS)
}

/// Does from now on what signals ask for.
fn obey(leaving: &Arc<Leaving>, reloader: &Arc<Reloader>, hand_over: &Arc<HandOver>) -> std::io::Result<()> {
    // Room for one: what is asked for while another reload runs is done once, after it.
    let (ask, asked) = mpsc::sync_channel::<()>(1);
    let (taking, running) = (reloader.clone(), leaving.clone());
    std::thread::Builder::new().name("reload".into()).spawn(move || {
        for () in asked {
            // Until it serves, there is nothing to tell systemd, or anybody.
            while running.life.stage() == Stage::Starting {
                std::thread::sleep(Duration::from_millis(5));
            }
            if running.life.stage() == Stage::Serving {
                let _logged = taking.reload();
                notify::ready(&taking.status());
            } else {
                log::info!("HUP: not now, we are leaving");
            }
        }
    })?;
    let (leaving, hand_over) = (leaving.clone(), hand_over.clone());
    signals::hand_on(move |what| match what {
        // Full is good: one that has not begun will do for both.
        Asked::Reload => drop(ask.try_send(())),
        Asked::Stop => leaving.stop(),
        Asked::StopNow => leaving.now("INT"),
        Asked::HandOver => hand_over.asked(),
    })
}

fn conf(plan: &Plan) -> ServerConf {
    ServerConf {
        threads: plan.boot.threads,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS,
        max_retries: MAX_ATTEMPTS,
        grace_period_seconds: Some(NEVER),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
}

/// The directory for the control socket; none if it cannot be made and nobody has asked for it.
fn run_dir(plan: &Plan, start: &Start) -> Result<Option<RunDir>, Fault> {
    let configured = plan.boot.run_dir.as_deref();
    let run_dir = RunDir::of(configured, &start.file);
    let fault = |why: String| {
        Fault::obstacle(
            Way::to("server").field("run_dir"),
            why,
            "write a directory that is the daemon's alone",
        )
    };
    let taken = || !start.upgrade && std::os::unix::net::UnixStream::connect(run_dir.control()).is_ok();
    let trouble = match run_dir.make() {
        Err(why) => Some(why),
        Ok(()) if taken() => Some(format!("another Byname runs at {}", run_dir.control().display())),
        Ok(()) => None,
    };
    match (trouble, configured) {
        (None, _) => Ok(Some(run_dir)),
        (Some(why), Some(_)) => Err(fault(why)),
        (Some(why), None) => {
            log::warn!("there is no control socket, so neither `byname reload` nor --upgrade: {why}");
            Ok(None)
        }
    }
}

/// All sockets that a plan wants, and which of its fields say so.
fn wanted(plan: &Plan) -> Vec<Wanted> {
    let server = |field: &str| Way::to("server").field(field);
    let tcp = |address: SocketAddr, way: Way| Wanted { address: Address::Tcp(address), way };
    let listen = plan.boot.listen.iter().enumerate();
    listen
        .map(|(index, listener)| tcp(listener.address, server("listen").item(index)))
        .chain(plan.boot.admin.map(|address| tcp(address, server("admin"))))
        .chain(plan.boot.demo_model.map(|address| tcp(address, server("demo_model"))))
        .collect()
}

fn clients(
    listener: &Listener,
    plan: &Plan,
    conf: &Arc<ServerConf>,
    gateway: Gateway,
) -> Service<door::Proxy> {
    let mut service = door::service(conf, gateway, &format!("clients on {}", listener.address), listener.h2c);
    let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
    service.add_listener(ListenerConfig::tcp(listener.address.to_string()).l4_buffer(buffers));
    service.threads = Some(plan.boot.threads);
    service
}

fn addresses(plan: &Plan) -> impl Iterator<Item = SocketAddr> {
    let clients = plan.boot.listen.iter().map(|listener| listener.address);
    clients.chain(plan.boot.admin).chain(plan.boot.demo_model)
}

/// The store in which several gateways keep their limits together.
fn shared_limits(plan: &StorePlan, fleet: &Fleet, metrics: &Arc<Metrics>) -> Result<Arc<dyn Store>, Fault> {
    let redis = redis(plan)?;

    let (took, state, dropped) = (metrics.clone(), metrics.clone(), metrics.clone());
    let hooks = Hooks {
        took: Box::new(move |outcome, time| took.store_answered(outcome.label(), time.as_secs_f64())),
        state: Box::new(move |now| match now {
            State::Up => {
                state.store_up.set(1);
                log::info!("the store of shared limits answers");
            }
            State::Down => {
                state.store_up.set(0);
                log::warn!("the store of shared limits does not answer: each gateway counts its own share");
            }
        }),
        dropped: Box::new(move |changes| dropped.store_dropped.inc_by(changes)),
    };
    let store = RedisStore::new(&redis, hooks, fleet.runtime.handle().clone());
    let unusable = |why| Fault::obstacle(Way::to("limits_store"), why, "see to what is written here");
    Ok(Arc::new(store.map_err(unusable)?))
}

/// What a store needs to be spoken to, its secrets read.
fn redis(plan: &StorePlan) -> Result<RedisPlan, Fault> {
    let at = |field: &str| Way::to("limits_store").field(field);
    let password = plan.password.as_ref().map(secret).transpose().map_err(|unread| Fault {
        way: at("password"),
        wrong: unread.wrong,
        mend: unread.mend.to_owned(),
        weight: unread.weight,
    })?;
    let ca = plan.ca.as_ref().map(|path| {
        let unread = |why| Fault::obstacle(at("ca"), format!("{}: {why}", path.display()), "see to the file");
        std::fs::read(path).map_err(unread)
    });
    Ok(RedisPlan {
        host: plan.host.clone(),
        port: plan.port,
        db: plan.db,
        tls: plan.tls,
        ca: ca.transpose()?,
        username: plan.username.clone(),
        password,
        timeout: plan.timeout,
        prefix: plan.prefix.clone(),
    })
}

/// What becoming ready takes.
struct Announcement {
    addresses: Vec<SocketAddr>,
    /// The process that we take over from.
    before: Option<TakeOver>,
    run_dir: Option<RunDir>,
    reloader: Arc<Reloader>,
    hand_over: Arc<HandOver>,
    leaving: Arc<Leaving>,
}

/// Becomes ready when every listener accepts, and says so to all who wait for it.
fn announce(it: Announcement) {
    std::thread::spawn(move || {
        for address in &it.addresses {
            while std::net::TcpStream::connect_timeout(&reachable(*address), Duration::from_secs(1)).is_err()
            {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        if let Some(why) = it.before.and_then(|before| before.ready().err()) {
            log::error!("not taken over: {why}");
            std::process::exit(1);
        }
        if let Some(run_dir) = &it.run_dir {
            run_dir.write_pid();
            let control = Control { reloader: it.reloader.clone(), hand_over: it.hand_over };
            if let Err(why) = control.listen(run_dir) {
                log::warn!("there is no control socket, so neither `byname reload` nor --upgrade: {why}");
            }
        }
        if it.leaving.life.go_on(Stage::Serving) {
            let all: Vec<_> = it.addresses.iter().map(ToString::to_string).collect();
            log::info!("serving on {}", all.join(", "));
            notify::ready(&it.reloader.status());
            detach::quiet();
        }
    });
}

/// An address to connect to for one that is listened on: any means loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => ([0, 0, 0, 0, 0, 0, 0, 1], v6.port()).into(),
        other => other,
    }
}

/// What is wrong with a plan that only its secrets and certificates can tell. Nothing is started.
///
/// # Errors
/// Every fault; those that may be none in the daemon's own environment say so by their weight.
pub fn dry(plan: &Plan) -> Result<Vec<Fault>, Vec<Fault>> {
    let unexpected =
        |why: &dyn Display| vec![Fault::obstacle(Way::default(), why.to_string(), "report this")];
    let metrics = Metrics::new().map_err(|why| unexpected(&why))?;
    let fleet = Fleet::new(&plan.boot.resolvers).map_err(|why| unexpected(&why))?;
    let lasting = Lasting { fleet: Arc::new(fleet), ledger: Arc::default(), store: None };
    let mut faults: Vec<_> = plan.store.as_ref().and_then(|store| redis(store).err()).into_iter().collect();
    match assemble(plan, &metrics, &lasting) {
        Ok(assembled) if faults.is_empty() => Ok(assembled.unwise),
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}
