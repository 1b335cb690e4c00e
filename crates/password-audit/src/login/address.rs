//! Step 1: whether the client reaches the server.

use std::net::IpAddr;

use super::facts::LoginFacts;
use super::{Refusal, Row, Stage, Step};

pub(super) fn row(facts: &LoginFacts) -> Row {
    let request = &facts.request;
    let Some(client) = request.client else { return socket(facts) };
    let addresses = &facts.listening.addresses;
    let listens = addresses.join(", ");
    let reach = addresses.iter().map(|address| reach(facts, address, client));
    match reach.max() {
        None => not_reached("listen_addresses is empty", "*"),
        Some(Reach::No) => {
            not_reached(&format!("listen_addresses is {listens}, which {client} cannot reach"), "*")
        }
        Some(Reach::Maybe) => Step::Address.unknown(
            Stage::Connection,
            format!("listen_addresses is {listens}; only a connection from {client} can tell"),
        ),
        Some(Reach::Yes) if request.tls && !facts.listening.tls => Step::Address
            .refused(
                Stage::Connection,
                Refusal::by_client("server does not support SSL, but SSL was required"),
                "ssl is off",
            )
            .with_remedy("ALTER SYSTEM SET ssl = on; SELECT pg_reload_conf();"),
        Some(Reach::Yes) => {
            let tls = if request.tls { ", and ssl is on" } else { "" };
            Step::Address.passed(format!("listen_addresses is {listens}{tls}"))
        }
    }
}

fn socket(facts: &LoginFacts) -> Row {
    if !facts.listening.socket {
        let detail = "unix_socket_directories is empty";
        let refusal = Refusal::by_client("No such file or directory");
        return Step::Address
            .refused(Stage::Connection, refusal, detail)
            .with_remedy("ALTER SYSTEM SET unix_socket_directories = '/tmp'; -- then restart");
    }
    let tls = if facts.request.tls { "; clients do not use TLS there" } else { "" };
    Step::Address.passed(format!("the server listens on a Unix-domain socket{tls}"))
}

fn not_reached(detail: &str, addresses: &str) -> Row {
    Step::Address
        .refused(Stage::Connection, Refusal::by_client("Connection refused"), detail)
        .with_remedy(format!("ALTER SYSTEM SET listen_addresses = '{addresses}'; -- then restart"))
}

/// Whether a client reaches one of the addresses on which the server listens.
#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Reach {
    No,
    Maybe,
    Yes,
}

fn reach(facts: &LoginFacts, listens: &str, client: IpAddr) -> Reach {
    let address = match listens {
        "*" => return Reach::Yes,
        // Each system resolves this name without asking a server, to one or both.
        "localhost" if client.is_ipv4() => IpAddr::from([127, 0, 0, 1]),
        _ => match listens.parse::<IpAddr>() {
            Ok(address) => address,
            Err(_) => return Reach::Maybe,
        },
    };
    if address.is_ipv4() != client.is_ipv4() {
        return Reach::No;
    }
    if address.is_unspecified() {
        return Reach::Yes;
    }
    let is_own = facts.listening.interfaces.iter().any(|own| own.address == client);
    match (address.is_loopback(), client.is_loopback()) {
        (true, true) | (false, false) => Reach::Yes,
        (true, false) if !is_own => Reach::No,
        // A program on the server's machine may choose any address of it.
        _ => Reach::Maybe,
    }
}
