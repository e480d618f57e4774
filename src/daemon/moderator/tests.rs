use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::rules::content::{Allowed, OnFailure};

#[test]
fn there_is_time_for_every_address_and_for_an_answer() {
    let all = Duration::from_secs(4);
    for (addresses, one) in [(0, 2000), (1, 2000), (2, 1333), (3, 1000), (100, 1000)] {
        assert_eq!(patience(all, addresses).as_millis(), one, "{addresses}");
    }
}

#[test]
fn an_address_that_is_silent_is_passed_over_and_not_the_first_again() {
    // The kernel drops whoever comes when its queue is full, as a firewall would.
    let deaf = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    deaf.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
    deaf.listen(0).unwrap();
    let silent = deaf.local_addr().unwrap().as_socket().unwrap();
    let soon = Duration::from_millis(100);
    let queue: Vec<_> = (0..64).map_while(|_| TcpStream::connect_timeout(&silent, soon).ok()).collect();
    assert!(queue.len() < 64);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let alive = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]).unwrap();
        let said = r#"{"results":[{"flagged":true}]}"#;
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{said}", said.len()).unwrap();
    });
    let plan = ModeratorPlan {
        scheme: Scheme::Http,
        host: "moderator.example".to_owned(),
        port: alive.port(),
        path: "/v1/moderations".to_owned(),
        key: None,
        model: None,
        media: Allowed::ALL,
        timeout: Duration::from_secs(6),
        on_failure: OnFailure::Block,
    };
    let fleet = Arc::new(Fleet::new(&[]).unwrap());
    let moderator = HttpModerator::new(&plan, None, &fleet).unwrap();
    let until = Instant::now().checked_add(Duration::from_secs(60));
    *held(&moderator.0.addresses) = Known { addresses: vec![silent, alive], until };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let word = runtime.block_on(moderator.judge(vec![Question::Texts(vec!["x".to_owned()])]));
    assert_eq!(word.map_err(|no| no.why), Ok(Verdict::Forbidden));
    assert_eq!(held(&moderator.0.addresses).addresses, [alive, silent]);
}
