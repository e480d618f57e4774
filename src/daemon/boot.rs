//! From a plan to a running daemon: services, listeners, readiness.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::http_app::HttpServer as PageServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig, TcpSocketOptions};
use pingora_core::protocols::TcpKeepalive;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::listening::Service;
use rustls::ServerConfig;

use super::admin::Admin;
use super::assemble::{Lasting, assemble};
use super::fleet::Fleet;
use super::keeper::Keeper;
use super::ledger::Ledger;
use super::secrets::secret;
use super::stop::{LastWords, Running, Signals};
use super::store::{Hooks, RedisPlan, RedisStore};
use super::{addresses, certificates, demo};
use crate::config::live::Live;
use crate::config::plan::{ListenAddress, Listener, Plan, Speaks, StorePlan};
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::access_log::AccessLog;
use crate::proxy::buffered::Buffered;
use crate::proxy::door;
use crate::proxy::door::entrance::{Entrance, Greeting};
use crate::rules::store::{State, Store};

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
/// Idle connections to backends that a thread keeps. Fewer than its requests at a time would mean new
/// connections all the time.
const KEPT_CONNECTIONS: usize = 2048;
/// More attempts than any configuration allows: our own rule counts them.
const MAX_ATTEMPTS: usize = 64;

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps a good plan from running: a secret, a name, an address in use.
pub fn serve(plan: &Plan) -> Result<ExitCode, Box<dyn std::error::Error>> {
    start_log();
    let metrics = Arc::new(Metrics::new()?);
    let fleet = Arc::new(Fleet::new(&plan.boot.resolvers)?);
    let ledger = Arc::<Ledger>::default();
    let store = plan.store.as_ref().map(|store| shared_limits(store, &fleet, &metrics)).transpose()?;
    let keeper = match (&plan.boot.state_dir, &store) {
        (Some(directory), None) => Some(Keeper::open(directory, ledger.clone())?),
        // The store keeps them.
        (Some(_), Some(_)) | (None, _) => None,
    };
    let lasting = Lasting { fleet, ledger, store };
    let snapshot = assemble(plan, &metrics, &lasting).map_err(|obstacles| obstacles.to_string())?;
    let mut certificates = certificates::of_listeners(&plan.certificates)?;
    for address in addresses(plan) {
        // Pingora would go on trying for half a minute and then lose one service; better to say so now.
        addresses::check(&address).map_err(|why| format!("{address} cannot be listened on: {why}"))?;
    }
    metrics.config_generation.set(1);
    let log = AccessLog::default();
    let writer = log.clone();
    std::thread::Builder::new()
        .name("access log".into())
        .spawn(move || writer.write_to(std::io::stdout()))?;

    let mut server = Server::new_with_opt_and_conf(None, conf(plan));
    server.bootstrap();
    let running = Running::default();
    let live = Arc::new(Live::new(snapshot));
    let gateway = Gateway {
        live: live.clone(),
        metrics: metrics.clone(),
        log: log.clone(),
        shield: Arc::default(),
        seats: Arc::default(),
        buffered: Buffered::default(),
    };
    for (place, listener) in plan.boot.listen.iter().enumerate() {
        let entrance = entrance(listener, certificates.remove(&place))?;
        server.add_service(clients(listener, plan, &server.configuration, gateway.clone(), entrance));
    }
    if let Some(address) = plan.boot.admin {
        let (seats, buffered) = (gateway.seats.clone(), gateway.buffered.clone());
        let admin = Admin { live, metrics: metrics.clone(), running: running.clone(), seats, buffered };
        let pages = PageServer::new_app(admin);
        let mut service = Service::new("operator's pages".into(), pages);
        service.add_tcp(&address.to_string());
        service.threads = Some(1);
        server.add_service(service);
    }
    if let Some(address) = plan.boot.demo_model {
        server.add_service(demo::service(address));
    }
    announce(plan, running.clone());
    let last = LastWords { log, keeper };
    let signals = Signals { running, metrics, last, drain: plan.boot.drain };
    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    Ok(ExitCode::SUCCESS)
}

fn conf(plan: &Plan) -> ServerConf {
    ServerConf {
        threads: plan.boot.threads,
        upstream_keepalive_pool_size: KEPT_CONNECTIONS,
        max_retries: MAX_ATTEMPTS,
        // Our own watch ends the process with the last request, or when the time to drain is over.
        grace_period_seconds: Some(plan.boot.drain.as_secs() + 5),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    }
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

fn addresses(plan: &Plan) -> impl Iterator<Item = ListenAddress> {
    let clients = plan.boot.listen.iter().map(|listener| listener.address.clone());
    let others = plan.boot.admin.into_iter().chain(plan.boot.demo_model);
    clients.chain(others.map(ListenAddress::Tcp))
}

/// The store in which several gateways keep their limits together.
fn shared_limits(
    plan: &StorePlan,
    fleet: &Fleet,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Store>, Box<dyn std::error::Error>> {
    let password = plan.password.as_ref().map(secret).transpose();
    let ca =
        plan.ca.as_ref().map(|path| std::fs::read(path).map_err(|why| format!("{}: {why}", path.display())));
    let redis = RedisPlan {
        host: plan.host.clone(),
        port: plan.port,
        db: plan.db,
        tls: plan.tls,
        ca: ca.transpose().map_err(|why| format!("limits_store.ca: {why}"))?,
        username: plan.username.clone(),
        password: password.map_err(|why| format!("limits_store.password: {why}"))?,
        timeout: plan.timeout,
        prefix: plan.prefix.clone(),
    };
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
    Ok(Arc::new(store.map_err(|why| format!("limits_store: {why}"))?))
}

/// Becomes ready when every listener accepts, and says where.
fn announce(plan: &Plan, running: Running) {
    let addresses: Vec<_> = addresses(plan).collect();
    let clients: Vec<_> = plan.boot.listen.iter().map(|listener| listener.address.to_string()).collect();
    std::thread::spawn(move || {
        for address in addresses {
            while !addresses::answers(&address) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        running.ready();
        log::info!("serving clients on {}", clients.join(", "));
    });
}

/// Whose lines are kept only from warnings on.
const FRAMEWORK: &[&str] = &["pingora", "h2", "rustls"];

/// Events of the daemon's life go to standard error. Pingora's debug and trace lines hold raw heads,
/// keys included, so they stay off whatever is asked for.
fn start_log() {
    use std::io::Write;
    let mut builder = env_logger::Builder::new();
    builder.filter_level(log::LevelFilter::Info);
    builder.parse_env("BYNAME_LOG");
    builder.format(|out, record| {
        let foreign = FRAMEWORK.iter().any(|name| record.target().starts_with(name));
        if foreign && record.level() > log::Level::Warn {
            return Ok(());
        }
        let now = humantime::format_rfc3339_millis(std::time::SystemTime::now());
        let event = serde_json::json!({
            "time": now.to_string(),
            "level": record.level().as_str().to_ascii_lowercase(),
            "message": record.args().to_string(),
        });
        writeln!(out, "{event}")
    });
    // A second start in one process keeps the first logger.
    let _ = builder.try_init();
}
