//! The facts about a login that succeeds, which the cases change.

use password_audit::hba::{AuthToken, HbaRule, Interface, Quoting, name_rules};
use password_audit::identify::Kind;
use password_audit::login::{
    HbaState, Listening, LoginDatabase, LoginFacts, LoginRequest, LoginRole, LoginSecret, Name,
    SecretForm, Slots,
};

/// A login over the socket that succeeds.
pub(crate) fn facts() -> LoginFacts {
    let name = |text: &str| Name { text: text.to_owned(), sql: text.to_owned() };
    LoginFacts {
        request: LoginRequest {
            role: name("ann"),
            database: name("shop"),
            client: None,
            tls: false,
            replication: false,
        },
        listening: Listening {
            socket: true,
            addresses: vec!["localhost".to_owned()],
            tls: false,
            interfaces: vec![
                interface("127.0.0.1", "255.0.0.0"),
                interface("10.1.2.3", "255.255.255.0"),
            ],
        },
        hba: rules("local all all scram-sha-256"),
        maps: Some(Vec::new()),
        role: Some(LoginRole {
            can_login: true,
            superuser: false,
            replication: false,
            valid_until: None,
            is_expired: false,
            connection_limit: -1,
            connections: 0,
            groups: Vec::new(),
            may_use_reserved: false,
            secret: Some(secret(SecretForm::Scram, Kind::ScramSha256)),
        }),
        database: Some(LoginDatabase {
            allows_connections: true,
            may_connect: true,
            connection_limit: -1,
            is_invalid: false,
            connections: 0,
            has_login_trigger: false,
        }),
        slots: Slots {
            max: 100,
            used: 5,
            superuser_reserved: 3,
            reserved: 0,
            max_senders: 10,
            senders: 0,
        },
        settings: Vec::new(),
        libraries: Vec::new(),
        has_hook: false,
        major: 15,
    }
}

fn interface(address: &str, netmask: &str) -> Interface {
    Interface {
        address: address.parse().expect("an address"),
        netmask: netmask.parse().expect("a mask"),
    }
}

pub(crate) fn secret(form: SecretForm, kind: Kind) -> LoginSecret {
    let is_scram = form == SecretForm::Scram;
    LoginSecret {
        form,
        kind,
        iterations: is_scram.then_some(4096),
        salt_len: is_scram.then_some(16),
    }
}

/// Rules as blanks separate them; an address is a network, a keyword or a host.
pub(crate) fn rules(text: &str) -> HbaState {
    let mut rules: Vec<_> =
        text.lines().enumerate().map(|(index, line)| rule(index, line)).collect();
    name_rules(&mut rules);
    HbaState { rules, error: None, is_newer: false }
}

fn rule(index: usize, line: &str) -> HbaRule {
    let mut words = line.split(' ');
    let mut word = || words.next().expect("a word").to_owned();
    let list = |word: String| word.split(',').map(AuthToken::plain).collect();
    let (connection, databases, users) = (word(), list(word()), list(word()));
    let address = (connection != "local").then(&mut word);
    let method = word();
    let netmask = address.as_ref().and_then(|address| {
        Some(match address.split_once('/')?.1 {
            "32" => "255.255.255.255".to_owned(),
            "8" => "255.0.0.0".to_owned(),
            length => panic!("a mask of length {length}"),
        })
    });
    let text = |address: String| address.split('/').next().unwrap_or_default().to_owned();
    HbaRule {
        location: format!("pg_hba.conf:{}", index + 1),
        method,
        connection,
        databases,
        users,
        address: address.map(|address| AuthToken { text: text(address), quoting: Quoting::Plain }),
        netmask,
        options: words.map(str::to_owned).collect(),
        ..HbaRule::default()
    }
}
