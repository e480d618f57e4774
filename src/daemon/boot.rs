//! From a plan to a running daemon: services, listeners, readiness.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pingora_core::apps::http_app::HttpServer as PageServer;
use pingora_core::listeners::{L4BufferSettings, ListenerConfig};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server};
use pingora_core::services::listening::Service;

use super::admin::Admin;
use super::assemble::assemble;
use super::demo;
use super::fleet::Fleet;
use super::stop::{Running, Signals};
use crate::config::live::Live;
use crate::config::plan::{Listener, Plan};
use crate::metrics::Metrics;
use crate::proxy::Gateway;
use crate::proxy::access_log::AccessLog;
use crate::proxy::door;

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

/// Serves until a signal ends it.
///
/// # Errors
/// Whatever keeps a good plan from running: a secret, a name, an address in use.
pub fn serve(plan: &Plan) -> Result<ExitCode, Box<dyn std::error::Error>> {
    start_log();
    let metrics = Arc::new(Metrics::new()?);
    let fleet = Arc::new(Fleet::new(&plan.boot.resolvers)?);
    let snapshot = assemble(plan, &metrics, &fleet).map_err(|obstacles| obstacles.to_string())?;
    for address in addresses(plan) {
        // Pingora would go on trying for half a minute and then lose one service; better to say so now.
        TcpListener::bind(address).map_err(|why| format!("{address} cannot be listened on: {why}"))?;
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
    let gateway = Gateway { live: live.clone(), metrics: metrics.clone(), log: log.clone() };
    for listener in &plan.boot.listen {
        server.add_service(clients(listener, plan, &server.configuration, gateway.clone()));
    }
    if let Some(address) = plan.boot.admin {
        let pages = PageServer::new_app(Admin { live, metrics: metrics.clone(), running: running.clone() });
        let mut service = Service::new("operator's pages".into(), pages);
        service.add_tcp(&address.to_string());
        service.threads = Some(1);
        server.add_service(service);
    }
    if let Some(address) = plan.boot.demo_model {
        server.add_service(demo::service(address));
    }
    announce(plan, running.clone());
    let signals = Signals { running, metrics, log, drain: plan.boot.drain };
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

/// Becomes ready when every listener accepts, and says where.
fn announce(plan: &Plan, running: Running) {
    let addresses: Vec<_> = addresses(plan).collect();
    let clients: Vec<_> = plan.boot.listen.iter().map(|listener| listener.address.to_string()).collect();
    std::thread::spawn(move || {
        for address in addresses {
            while std::net::TcpStream::connect_timeout(&reachable(address), Duration::from_secs(1)).is_err() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        running.ready();
        log::info!("serving clients on {}", clients.join(", "));
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
