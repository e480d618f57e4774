//! The resolvers under `server.dns`.

use std::net::{IpAddr, SocketAddr};

use crate::config::at::{At, every};
use crate::config::complaint::{Complaints, Told};

/// Where resolvers listen unless another port is written.
const PORT: u16 = 53;

/// Reads the addresses of resolvers; an address alone means the usual port. None at all means the
/// system's own.
pub(super) fn resolvers(at: &At<'_>, out: &mut Complaints) -> Result<Vec<SocketAddr>, Told> {
    let mut seen: Vec<SocketAddr> = Vec::new();
    every(at.items(out)?.map(|at| {
        let resolver = resolver(&at, out)?;
        if seen.contains(&resolver) {
            return Err(at.complain(out, format!("{resolver} is listed twice"), "keep one of them"));
        }
        seen.push(resolver);
        Ok(resolver)
    }))
}

fn resolver(at: &At<'_>, out: &mut Complaints) -> Result<SocketAddr, Told> {
    const MEND: &str = "write one, with a port or without, such as 127.0.0.53 or \"[::1]:53\"";
    let text = &at.scalar("the address of a resolver", MEND, out)?.text;
    let alone = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, PORT));
    match alone.or_else(|_| text.parse()) {
        Ok(address) if address.port() == 0 => {
            Err(at.complain(out, "has port 0, where nobody listens", "write a port from 1 to 65535, or none"))
        }
        Ok(address) if address.ip().is_unspecified() => {
            Err(at.complain(out, "stands for every address, where nobody in particular can be asked", MEND))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(at.complain(out, "is not the address of a resolver", MEND)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::at::tests::{complaint, reading};

    #[test]
    fn an_address_alone_means_the_usual_port() {
        let read = reading("[127.0.0.53, '::1', 127.0.0.1:5353, '[::1]:54']", resolvers).unwrap();
        let read: Vec<String> = read.iter().map(SocketAddr::to_string).collect();
        assert_eq!(read, ["127.0.0.53:53", "[::1]:53", "127.0.0.1:5353", "[::1]:54"]);
        assert_eq!(reading("[]", resolvers), Ok(Vec::new()));
    }

    #[test]
    fn a_resolver_has_no_name_and_stands_once() {
        for bad in
            ["[dns.example]", "[1.1]", "[127.0.0.1:0]", "['[::1]']", "[0.0.0.0]", "[~]", "[[a]]", "127.0.0.1"]
        {
            assert!(reading(bad, resolvers).is_err(), "{bad}");
        }
        assert_eq!(
            complaint("[127.0.0.1, 127.0.0.1:53]", resolvers),
            "t:1:13: [1]: 127.0.0.1:53 is listed twice; keep one of them"
        );
    }
}
