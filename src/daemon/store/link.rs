//! The connection to the store: made, watched and made again, never by a request.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::script::{self, Script};
use super::{Hooks, RedisPlan};
use crate::daemon::probe::jittered;
use crate::rules::store::{Ask, Span, State};

/// The longest that connecting may take, with TLS and signing in.
const CONNECT: Duration = Duration::from_secs(1);
/// The pauses between tries begin here and double up to there.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a store that nobody asks is looked at, and how long it may then take at least.
const WATCH: Duration = Duration::from_secs(1);
const WATCH_LIMIT: Duration = Duration::from_millis(250);
/// How often the store has to answer in time before it is up.
const ANSWERS: usize = 2;
/// How long requests wait with the store until it has heard what passed without it.
const CATCH_UP: Duration = Duration::from_secs(1);
/// How many calls may wait to be written.
const WAITING: usize = 1024;

/// What all parts of the store share.
pub struct Link {
    pub take: Script,
    pub give: Script,
    pub prefix: String,
    pub timeout: Duration,
    pub hooks: Hooks,
    live: ArcSwapOption<Live>,
    failed: Notify,
    /// A connection that works, and that no request uses before what passed without the store has been told.
    arrived: ArcSwapOption<Live>,
    knocked: Notify,
    told: Notify,
    client: Client,
}

/// A connection that worked so far.
pub struct Live {
    pub connection: MultiplexedConnection,
}

impl Link {
    /// Does not connect yet.
    ///
    /// # Errors
    /// The plan cannot work.
    pub fn new(plan: &RedisPlan, hooks: Hooks) -> Result<Self, String> {
        Ok(Self {
            take: Script::take(),
            give: Script::give(),
            prefix: plan.prefix.clone(),
            timeout: plan.timeout,
            hooks,
            live: ArcSwapOption::empty(),
            failed: Notify::new(),
            arrived: ArcSwapOption::empty(),
            knocked: Notify::new(),
            told: Notify::new(),
            client: client(plan)?,
        })
    }

    /// The connection, while it works.
    pub fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// The connection for changes, which are carried before requests are let in again.
    pub fn carrying(&self) -> Option<Arc<Live>> {
        self.live().or_else(|| self.arrived.load_full())
    }

    /// Returns when there is a new connection, even if there is nothing to carry.
    pub async fn knocked(&self) {
        self.knocked.notified().await;
    }

    /// Says that the store has been told all changes, but for those of the last moment.
    pub fn told(&self) {
        if self.arrived.swap(None).is_some() {
            self.told.notify_one();
        }
    }

    /// Lets requests use a connection, once the store has heard what passed meanwhile.
    async fn let_in(&self, live: &Arc<Live>) {
        self.arrived.store(Some(live.clone()));
        self.knocked.notify_one();
        // A store that takes longer to listen is worth less than one that has not heard all.
        let _ = timeout(CATCH_UP, self.told.notified()).await;
        self.live.store(Some(live.clone()));
        self.arrived.store(None);
    }

    /// Takes the store out, unless another connection has come meanwhile.
    pub fn fail(&self, live: &Arc<Live>, why: &str) {
        let failed = Some(live.clone());
        let was = self.live.compare_and_swap(&failed, None);
        if was.as_ref().is_some_and(|was| Arc::ptr_eq(was, live)) {
            log::warn!("the limits store is down: {why}; this gateway goes on by its share");
            self.failed.notify_one();
        }
    }

    /// Connects, and sees that the store answers in time and lets itself be written to.
    async fn reach(&self) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT))
            .set_response_timeout(None)
            .set_pipeline_buffer_size(WAITING);
        // The limit holds for signing in, too.
        let connection = timeout(CONNECT, self.client.get_multiplexed_async_connection_with_config(&config))
            .await
            .map_err(|_| format!("no connection within {CONNECT:?}"))?
            .map_err(|error| error.to_string())?;
        let most = u64::MAX;
        let probe =
            Ask { key: "probe".into(), window: Span::Minute, limit: most, amount: 1, local: 0, share: most };
        // The first answer on a new server needs two questions, and the limit is for one.
        let mut limit = self.timeout.max(WATCH_LIMIT);
        for _ in 0..=ANSWERS {
            let arguments = script::taking(&self.prefix, std::slice::from_ref(&probe), SystemTime::now());
            timeout(limit, self.take.call(connection.clone(), arguments))
                .await
                .map_err(|_| format!("no answer within {limit:?}"))?
                .map_err(|error| error.to_string())?;
            limit = self.timeout;
        }
        Ok(connection)
    }

    /// Returns when the connection has failed.
    async fn watch(&self, live: &Arc<Live>) {
        let limit = self.timeout.max(WATCH_LIMIT);
        while timeout(WATCH, self.failed.notified()).await.is_err() {
            let mut connection = live.connection.clone();
            match timeout(limit, redis::cmd("PING").exec_async(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => self.fail(live, &error.to_string()),
                Err(_) => self.fail(live, &format!("no answer within {limit:?}")),
            }
        }
    }
}

/// Keeps the store connected, for ever.
pub async fn keep(link: Arc<Link>) {
    let mut pause = FIRST_PAUSE;
    let mut told = None;
    let mut known = None;
    // Before the first attempt nobody knows; it is not down because nobody has asked yet.
    let mut is = |now| {
        if known.replace(now) != Some(now) {
            (link.hooks.state)(now);
        }
    };
    loop {
        match link.reach().await {
            Ok(connection) => {
                let live = Arc::new(Live { connection });
                link.let_in(&live).await;
                log::info!("the limits store is up");
                is(State::Up);
                link.watch(&live).await;
                is(State::Down);
                pause = FIRST_PAUSE;
                told = None;
            }
            Err(why) => {
                is(State::Down);
                if told.as_ref() != Some(&why) {
                    log::warn!("the limits store cannot be used: {why}; this gateway goes on by its share");
                    told = Some(why);
                }
            }
        }
        sleep(jittered(pause, RandomState::new().hash_one(0_u8))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn client(plan: &RedisPlan) -> Result<Client, String> {
    let (host, port) = (plan.host.clone(), plan.port);
    let address = if plan.tls {
        ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
    } else {
        ConnectionAddr::Tcp(host, port)
    };
    let mut session = RedisConnectionInfo::default().set_db(plan.db.into()).set_skip_set_lib_name();
    if let Some(password) = &plan.password {
        session = session.set_password(password.reveal());
        if let Some(username) = &plan.username {
            session = session.set_username(username);
        }
    }
    let refused = |error: redis::RedisError| format!("the limits store cannot be asked: {error}");
    let info = address
        .into_connection_info()
        .map_err(refused)?
        .set_redis_settings(session)
        .set_tcp_settings(TcpSettings::default().set_nodelay(true));
    match &plan.ca {
        Some(pem) if plan.tls => {
            if !matches!(CertificateDer::pem_slice_iter(pem).next(), Some(Ok(_))) {
                return Err("the limits store's ca holds no certificate in PEM".to_owned());
            }
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.clone()) };
            Client::build_with_tls(info, certificates).map_err(refused)
        }
        Some(_) | None => Client::open(info).map_err(refused),
    }
}
