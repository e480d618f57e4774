//! The built-in demo model: a backing model for trying Byname out, on a loopback address of this same process.
//!
//! It speaks as a provider would, with ids, names and headers of its own, so that one can see Byname hide them.
//! It knows nothing of tenants or aliases, keeps no state, never asks for a key, and is not meant for real use.

mod provider;
mod speech;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use pingora::http::ResponseHeader;
use pingora_core::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::ShutdownWatch;
use pingora_core::services::listening::Service;
use tokio::time::sleep;

use provider::{Answer, Delivery, Request, Stamp};
use speech::{Ending, Speech};

/// More than any body that Byname lets through by default.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// For how many seconds an unused connection is kept.
const KEEPALIVE: u64 = 60;

/// The demo model as a service that listens on this address.
pub fn service(address: SocketAddr) -> Service<DemoModel> {
    let mut service = Service::new("demo model".to_owned(), DemoModel(()));
    service.add_tcp(&address.to_string());
    service
}

/// The application behind [`service`].
#[derive(Debug)]
pub struct DemoModel(());

/// What became of the connection. Once it is broken there is nobody left to tell.
enum Written {
    Whole,
    Broken,
}

#[async_trait]
impl HttpServerApp for DemoModel {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        if !session.read_request().await.ok()? {
            return None;
        }
        session.set_keepalive((!*shutdown.borrow()).then_some(KEEPALIVE));
        match respond(&mut session).await? {
            Written::Broken => None,
            Written::Whole => {
                let settings = HttpPersistentSettings::for_session(&session);
                let stream = session.finish().await.ok()??;
                Some(ReusedHttpStream::from_reusable_stream(stream, settings))
            }
        }
    }
}

/// Answers one request; `None` when the connection broke on the way.
async fn respond(session: &mut ServerSession) -> Option<Written> {
    let head = session.req_header();
    let (method, path) = (head.method.as_str().to_owned(), head.uri.path().to_owned());
    let Some(body) = read_body(session).await? else {
        return write_answer(session, provider::error(413, "The body is too large.")).await;
    };
    match (method.as_str(), path.as_str()) {
        ("POST", "/v1/chat/completions") => match Request::read(&body) {
            Some(request) => chat(session, &request).await,
            None => write_answer(session, provider::error(400, "The body is not a chat request.")).await,
        },
        ("GET", "/v1/models") => write_answer(session, provider::models()).await,
        _ => write_answer(session, provider::error(404, "There is nothing here.")).await,
    }
}

async fn chat(session: &mut ServerSession, request: &Request) -> Option<Written> {
    let Some(speech) = Speech::to(request.model(), &request.last_words(), request.cap()) else {
        return write_answer(session, provider::error(500, "The demo model fails, as its name promises."))
            .await;
    };
    let stamp = Stamp::new(request.model(), now());
    match request.delivery() {
        Delivery::Whole => whole(session, request, &speech, &stamp).await,
        Delivery::Stream => stream(session, request, &speech, &stamp).await,
    }
}

/// The whole answer, after the first pause alone: nobody likes to wait for text that does not show.
async fn whole(
    session: &mut ServerSession,
    request: &Request,
    speech: &Speech,
    stamp: &Stamp,
) -> Option<Written> {
    sleep(speech.before).await;
    let answer = provider::completion(stamp, speech, request.prompt_tokens());
    match speech.ending {
        Ending::Finished(_) => write_answer(session, answer).await,
        Ending::Cut => {
            let half = answer.body.slice(..answer.body.len() / 2);
            write_head(session, &answer).await?;
            session.write_response_body(half, false).await.ok()?;
            Some(Written::Broken)
        }
    }
}

/// The answer piece by piece, at the pace at which a person can just about read it.
async fn stream(
    session: &mut ServerSession,
    request: &Request,
    speech: &Speech,
    stamp: &Stamp,
) -> Option<Written> {
    sleep(speech.before).await;
    let mut head = ResponseHeader::build(200, None).ok()?;
    for (name, value) in provider::HEADERS {
        head.insert_header(*name, *value).ok()?;
    }
    head.insert_header("Content-Type", "text/event-stream; charset=utf-8").ok()?;
    head.insert_header("Cache-Control", "no-cache").ok()?;
    head.insert_header("Transfer-Encoding", "chunked").ok()?;
    session.write_response_header(Box::new(head)).await.ok()?;
    session.write_response_body(provider::first_event(stamp), false).await.ok()?;
    for piece in &speech.pieces {
        sleep(piece.pause).await;
        session.write_response_body(provider::event(stamp, &piece.text), false).await.ok()?;
    }
    match speech.ending {
        Ending::Cut => Some(Written::Broken),
        Ending::Finished(finish) => {
            let usage = request.usage_asked().then(|| (request.prompt_tokens(), speech.pieces.len()));
            session.write_response_body(provider::last_events(stamp, finish, usage), true).await.ok()?;
            Some(Written::Whole)
        }
    }
}

/// The request's body; `Some(None)` when it is too large, `None` when the connection broke.
async fn read_body(session: &mut ServerSession) -> Option<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(piece) = session.read_request_body().await.ok()? {
        if body.len() + piece.len() > MAX_BODY {
            session.set_keepalive(None);
            return Some(None);
        }
        body.extend_from_slice(&piece);
    }
    Some(Some(body))
}

async fn write_answer(session: &mut ServerSession, answer: Answer) -> Option<Written> {
    write_head(session, &answer).await?;
    session.write_response_body(answer.body, true).await.ok()?;
    Some(Written::Whole)
}

async fn write_head(session: &mut ServerSession, Answer { status, body }: &Answer) -> Option<()> {
    let mut head = ResponseHeader::build(*status, None).ok()?;
    for (name, value) in provider::HEADERS {
        head.insert_header(*name, *value).ok()?;
    }
    head.insert_header("Content-Type", "application/json; charset=utf-8").ok()?;
    head.insert_header("Content-Length", body.len().to_string()).ok()?;
    session.write_response_header(Box::new(head)).await.ok()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
