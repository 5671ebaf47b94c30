//! The list of founders as it stands on the command line: `1@INC=RAFT/HTTP,2@INC=RAFT/HTTP,…`.
//!
//! The list is part of the cluster's identity: every founder has to be started with the same one.

use std::fmt::Display;

use raft_core::{Membership, MembershipError, ParseIdentityError, Server, Suffrage};

/// Why a text is no list of founders.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FoundersError {
    /// A server has no `=`.
    #[error("\"{0}\" is not a server: write ID@INCARNATION=RAFT_HOST:PORT/HTTP_HOST:PORT")]
    Shape(String),
    /// Behind the `=` there is one address only.
    #[error(
        "\"{0}\" lacks where clients reach the server: write /HTTP_HOST:PORT behind it, as in \
         ID@INCARNATION=RAFT_HOST:PORT/HTTP_HOST:PORT"
    )]
    ClientAddress(String),
    /// The part before `=` does not name a server.
    #[error("\"{0}\" does not begin with who it is, ID@INCARNATION: {1}")]
    Pair(String, ParseIdentityError),
    /// An address has no host or no port.
    #[error("\"{0}\" is not an address: write HOST:PORT, with a port from 1 to 65535")]
    Address(String),
    /// The founders together do not make a configuration.
    #[error("the founders do not make a cluster: {0}")]
    Membership(#[from] MembershipError),
}

/// Parses a list of founders, all of them voters.
pub(crate) fn parse(text: &str) -> Result<Membership, FoundersError> {
    let servers = text.split(',').map(str::trim).map(server).collect::<Result<Vec<_>, _>>()?;
    Ok(Membership::new(servers)?)
}

/// Writes one founder as [`parse`] reads it.
pub(crate) fn write(pair: &impl Display, raft_address: &str, client_address: &str) -> String {
    format!("{pair}={raft_address}/{client_address}")
}

/// Parses one server of such a list, a voter.
pub(crate) fn server(text: &str) -> Result<Server, FoundersError> {
    let (pair, addresses) = text.split_once('=').ok_or_else(|| FoundersError::Shape(text.to_owned()))?;
    let (raft, client) =
        addresses.split_once('/').ok_or_else(|| FoundersError::ClientAddress(text.to_owned()))?;
    let pair = pair.parse().map_err(|error| FoundersError::Pair(text.to_owned(), error))?;
    Ok(Server {
        pair,
        suffrage: Suffrage::Voter,
        raft_address: address(raft)?,
        client_address: address(client)?,
    })
}

/// Parses where a server is reached: host and port.
pub(crate) fn address(text: &str) -> Result<String, FoundersError> {
    let wrong = || FoundersError::Address(text.to_owned());
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    // What stands here goes into the `Location` of redirects, so nothing that would end or split an address may be in it.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b".-_[]:".contains(&b);
    if host.is_empty() || port == 0 || !host.bytes().all(plain) {
        return Err(wrong());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1@0000000000000000000000000000000a=127.0.0.1:5001/127.0.0.1:4001";

    #[test]
    fn a_list_is_read_and_written_alike() {
        let two = "2@0000000000000000000000000000000b=[::1]:5002/host-b.example:4002";
        let membership = parse(&format!("{two},{ONE}")).unwrap();
        let written: Vec<String> = membership
            .servers()
            .iter()
            .map(|server| write(&server.pair, &server.raft_address, &server.client_address))
            .collect();
        assert_eq!(written, [ONE, two]);
    }

    #[test]
    fn a_bad_founder_is_named() {
        for (text, part) in [
            ("", "is not a server"),
            ("1@0000000000000000000000000000000a", "is not a server"),
            ("1@0000000000000000000000000000000a=127.0.0.1:5001", "lacks where clients reach"),
            ("1@a=127.0.0.1:5001/127.0.0.1:4001", "does not begin with who it is"),
            ("1@0000000000000000000000000000000a=127.0.0.1/127.0.0.1:4001", "is not an address"),
            ("1@0000000000000000000000000000000a=:1/127.0.0.1:4001", "is not an address"),
            ("1@0000000000000000000000000000000a=a:1/b\r\n:4001", "is not an address"),
            ("1@0000000000000000000000000000000a=a:0/b:4001", "is not an address"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        let twice = parse(&format!("{ONE},{}", ONE.replace(":5001", ":5003"))).unwrap_err();
        assert!(matches!(twice, FoundersError::Membership(MembershipError::DuplicateId(_))), "{twice}");
    }
}
