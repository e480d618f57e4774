//! From a configuration to a running daemon: sockets, services, signals, readiness.

use std::fmt::Display;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant, SystemTime};

use pingora_core::apps::http_app::HttpServer as PageServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::TcpKeepalive;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::listening::Service;
use rustls::ServerConfig;
use tokio::sync::watch;

use super::admin::Admin;
use super::assemble::{Lasting, assemble};
use super::fleet::Fleet;
use super::handover::{HandOver, TakeOver};
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::load::Loaded;
use super::log::Logs;
use super::reload::Reloader;
use super::run_dir::RunDir;
use super::signals::{self, Asked};
use super::sockets::{self, OnSockets, Sockets, Until, Wanted};
use super::status::StatusPage;
use super::status::gather::Sources;
use super::status::history::{self, History};
use super::stop::Leaving;
use super::{certificates, demo, panics, process, ready, shared};
use crate::config::live::Live;
use crate::config::place::{Fault, Way};
use crate::config::plan::{ListenAddress, Listener, Plan, Speaks};
use crate::config::unwise;
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::door;
use crate::proxy::door::entrance::{Entrance, Greeting};
use crate::proxy::life::{Life, Stage};
use crate::rules::buffered::Buffered;

/// What a listener's connections write through. Head and body of an ordinary answer fit, and so leave
/// in one send.
const WRITE_BUFFER: usize = 8 * 1024;
/// What a client's bytes are read through. Larger bodies are read past it. The allocator gives pages of
/// their own to anything from 16 KiB on, which many open streams would pay for.
const READ_BUFFER: usize = 8 * 1024;
/// What the system keeps of an answer that a client does not take, in bytes; Linux doubles it for its own use. A
/// slow reader is felt the sooner, and costs the less.
const SEND_BUFFER: usize = 128 * 1024;
/// When a silent client is asked whether it is still there, how often, and how many times.
const PROBE_AFTER: Duration = Duration::from_secs(30);
const PROBE_EVERY: Duration = Duration::from_secs(10);
const PROBES: usize = 3;
/// How long what was sent may go unacknowledged at least, however short `write_timeout` is: a lost packet takes its
/// time.
const UNHEARD: Duration = Duration::from_secs(5);
/// Idle connections to backends that are kept for each thread, in one pool for all threads, backends and tenants of a
/// listener; the one that has been idle for longest goes first. Fewer than requests at a time, or than tenants times
/// backends that are asked within 45 s, would mean new connections all the time.
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
    let began = Instant::now();
    let plan = &loaded.plan;
    let told = |faults: &[Fault]| loaded.located(faults).to_string();
    let metrics = Arc::new(Metrics::new()?);
    panics::watch(&metrics.panics);
    process::began(&metrics.process);
    let fleet = Arc::new(Fleet::new(&plan.boot.resolvers)?);
    let ledger = Arc::<Ledger>::default();
    let store = plan.store.as_ref().map(|store| shared::limits(store, &fleet, &metrics)).transpose();
    let store = store.map_err(|fault| told(&[fault]))?;
    let run_dir = run_dir(plan, &start).map_err(|fault| told(&[fault]))?;
    let (before, given) = match (&run_dir, start.upgrade) {
        (Some(_), true) => TakeOver::ask(&RunDir::find(plan.boot.run_dir.as_deref(), &start.file))
            .map(|(before, given)| (Some(before), given))?,
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
    let mut shown = certificates::of_listeners(&plan.certificates).map_err(|faults| told(&faults))?;
    let unwise = assembled.unwise.clone();
    let live = Arc::new(Live::new(assembled.begin(&lasting.fleet)));
    let logs = Logs::begin(&metrics)?;
    logs.take(super::log::open(&plan.log).map_err(|faults| told(&faults))?, &plan.log);

    let mut server = Server::new_with_opt_and_conf(None, conf(plan));
    server.bootstrap();
    let life = Arc::<Life>::default();
    let gateway = Gateway {
        live: live.clone(),
        metrics: metrics.clone(),
        log: logs.access.clone(),
        shield: Arc::default(),
        life: life.clone(),
        seats: Arc::default(),
        buffered: Buffered::default(),
    };
    let (seats, buffered) = (gateway.seats.clone(), gateway.buffered.clone());
    let entrances = plan.boot.listen.iter().enumerate();
    let entrances = entrances.map(|(place, listener)| entrance(listener, shown.remove(&place)));
    let entrances = entrances.collect::<Result<Vec<_>, _>>()?;
    let reloader =
        Reloader::new(start.file, loaded, &unwise, gateway.clone(), entrances.clone(), lasting, logs.clone());
    let reloader = Arc::new(reloader);
    for (listener, entrance) in plan.boot.listen.iter().zip(&entrances) {
        let service = clients(listener, plan, &server.configuration, gateway.clone(), entrance.clone());
        server.add_service(OnSockets { service, sockets: sockets.clone(), until: Until::Leaving });
    }
    // Operators look at a daemon that drains, too.
    let (handed_over, to_the_end) = watch::channel(false);
    if let Some(address) = plan.boot.admin {
        let sources = Arc::new(Sources {
            reloader: reloader.clone(),
            life: life.clone(),
            seats: seats.clone(),
            keeper: keeper.clone(),
            began,
            history: History::default(),
        });
        history::keep(sources.clone())?;
        let pages = PageServer::new_app(Admin {
            reloader: reloader.clone(),
            life: life.clone(),
            seats: seats.clone(),
            buffered,
            status: StatusPage::new(sources),
            turn: tokio::sync::Semaphore::new(1),
        });
        let mut service = Service::new("operator's pages".into(), pages);
        service.add_tcp(&address.to_string());
        service.threads = Some(1);
        let until = Until::HandedOver(to_the_end.clone());
        server.add_service(OnSockets { service, sockets: sockets.clone(), until });
    }
    if let Some(address) = plan.boot.demo_model {
        let service = demo::service(address);
        let until = Until::HandedOver(to_the_end);
        server.add_service(OnSockets { service, sockets: sockets.clone(), until });
    }
    let leaving = Leaving::new(gateway, logs, keeper, sockets, run_dir.clone(), handed_over);
    let leaving = Arc::new(leaving);
    let hand_over = Arc::new(HandOver::new(leaving.clone()));
    obey(&leaving, &reloader, &hand_over)?;
    let told = leaving.watch();
    let others = plan.boot.admin.into_iter().chain(plan.boot.demo_model).collect();
    let listeners = plan.boot.listen.iter().map(|listener| listener.address.clone()).zip(entrances);
    let doors = ready::Doors { listeners: listeners.collect(), others };
    ready::announce(ready::Announcement { doors, before, run_dir, reloader, hand_over, leaving });
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
    let tcp = |address, way| Wanted { address: ListenAddress::Tcp(address), way };
    let listen = plan.boot.listen.iter().enumerate();
    listen
        .map(|(index, listener)| Wanted {
            address: listener.address.clone(),
            way: server("listen").item(index),
        })
        .chain(plan.boot.admin.map(|address| tcp(address, server("admin"))))
        .chain(plan.boot.demo_model.map(|address| tcp(address, server("demo_model"))))
        .collect()
}

/// A listener as the door knows it.
///
/// # Errors
/// None: whoever read the configuration has seen to it that those with TLS have certificates, and no others.
fn entrance(listener: &Listener, certificates: Option<ServerConfig>) -> Result<Arc<Entrance>, String> {
    let greeting = match (listener.speaks, certificates) {
        (Speaks::Http1, None) => Greeting::Http1,
        (Speaks::H2c, None) => Greeting::H2c,
        (Speaks::Tls, Some(certificates)) => Greeting::Tls(Box::new(Live::new(certificates))),
        (Speaks::Tls, None) | (Speaks::Http1 | Speaks::H2c, Some(_)) => {
            return Err(format!("{}: its certificates are somebody else's", listener.address));
        }
    };
    Ok(Arc::new(Entrance::new(listener.address.to_string(), greeting)))
}

fn clients(
    listener: &Listener,
    plan: &Plan,
    conf: &Arc<ServerConf>,
    gateway: Gateway,
    entrance: Arc<Entrance>,
) -> Service<door::Proxy> {
    let mut service = door::service(conf, gateway, entrance);
    let endpoint = match &listener.address {
        ListenAddress::Tcp(address) => {
            let mut options = TcpSocketOptions::default();
            options.tcp_snd_buf = Some(SEND_BUFFER);
            options.tcp_keepalive = Some(TcpKeepalive {
                idle: PROBE_AFTER,
                interval: PROBE_EVERY,
                count: PROBES,
                // A cable that was pulled is a client that does not take its answer.
                user_timeout: plan.caps.write_timeout.max(UNHEARD),
            });
            ListenerConfig::tcp(address.to_string()).tcp_socket_options(options)
        }
        ListenAddress::Unix { path, mode } => {
            ListenerConfig::uds(path.display().to_string()).permissions(Permissions::from_mode(*mode))
        }
    };
    service.add_listener(endpoint.l4_buffer(L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER)));
    service.threads = Some(plan.boot.threads);
    service
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
    let mut faults: Vec<_> =
        plan.store.as_ref().and_then(|store| shared::redis(store).err()).into_iter().collect();
    faults.extend(certificates::of_listeners(&plan.certificates).err().unwrap_or_default());
    faults.extend(super::log::obstacles(&plan.log));
    match assemble(plan, &metrics, &lasting) {
        // Whoever runs it has been told of a key's end in time, and need not be told for ever.
        Ok(assembled) if faults.is_empty() => {
            Ok([assembled.unwise, unwise::expired(plan, SystemTime::now())].concat())
        }
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            Err(faults)
        }
    }
}
