//! Matches rules of pg_hba.conf with roles, and finds the roles that no rule accepts.

use password_audit::hba::{self, Database, ListenConfig, Matches};
use password_audit::{
    HbaRule, Origin, Policy, RoleFacts, ServerConfig, StoredSecret, Subject, ValidUntil,
};
use zeroize::Zeroizing;

const SCRAM: &str = "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=";
const MD5: &str = "md50123456789abcdef0123456789abcdef";

/// A file, a stored secret, and the evidence that `ann` is locked out.
#[test]
fn no_matching_hba_rule() {
    let cases: &[(&str, Option<&str>, Option<&str>)] = &[
        ("host all all all scram-sha-256", Some(SCRAM), None),
        (
            "host all all all scram-sha-256",
            Some(MD5),
            Some("an MD5 hash, which does not open scram-sha-256 (hba:1)"),
        ),
        ("host all all all md5", Some(MD5), None),
        ("host all all all md5", Some(SCRAM), None),
        ("host all all all password", Some(MD5), None),
        ("host all all all md5", None, Some("no password, which does not open md5 (hba:1)")),
        (
            "host all all all md5",
            Some("plain text"),
            Some("a stored text that is no verifier, which does not open md5 (hba:1)"),
        ),
        ("local all all trust", None, None),
        (
            "local all all reject",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
        ("", Some(SCRAM), Some("a SCRAM verifier, and no rule of pg_hba.conf fits")),
        (
            "local all bob md5",
            Some(SCRAM),
            Some("a SCRAM verifier, and no rule of pg_hba.conf fits"),
        ),
        // The first rule that fits decides.
        (
            "host all ann all reject\nhost all all all scram-sha-256",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
        ("host all bob all reject\nhost all all all scram-sha-256", Some(SCRAM), None),
        ("host all all 10.0.0.0/8 reject\nhost all all all scram-sha-256", Some(SCRAM), None),
        (
            "host all all 0.0.0.0/0 reject\nhost all all 10.0.0.0/8 md5\nlocal all all reject",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1), reject (hba:3)"),
        ),
        // Two halves make a whole, also with a network in between.
        (
            "host all all 10.0.0.0/9 reject\nhost all all 10.1.0.0/16 md5\nhost all all 10.128.0.0/9 reject\nhost all all 10.0.0.0/8 md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1), reject (hba:3)"),
        ),
        ("host all all 0.0.0.0/0 reject\nhost all all ::/0 md5", Some(SCRAM), None),
        // Types of connections.
        ("hostssl all all all reject\nhost all all all md5", Some(SCRAM), None),
        (
            "hostnossl all all all reject\nhostssl all all all reject\nhostgssenc all all all reject\nhost all all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1), reject (hba:2)"),
        ),
        ("host all all all reject\nlocal all all md5", Some(SCRAM), None),
        // Databases.
        (
            "host closed all all md5\nhost all all all reject",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:2)"),
        ),
        (
            "host shop all all reject\nhost ann all all reject\nhost all all all md5",
            Some(SCRAM),
            None,
        ),
        (
            "host shop,ann,staff all all reject\nhost all all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
        ("host sameuser all all md5", Some(SCRAM), None),
        (
            "host sameuser all all reject\nhost ann all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
        ("host samerole all all md5", Some(SCRAM), None),
        (
            "host replication all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, and no rule of pg_hba.conf fits"),
        ),
        // Groups, through another group too.
        ("host all +staff all md5", Some(SCRAM), None),
        ("host all +people all md5", Some(SCRAM), None),
        (
            "host all +other all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, and no rule of pg_hba.conf fits"),
        ),
        ("host all +ann all md5", Some(SCRAM), None),
        // A rule with an unknown method does not accept a password. A role without one gets no
        // finding then.
        (
            "local all all peer",
            Some(SCRAM),
            Some("a SCRAM verifier, and no rule asks for a password; unknown is peer (hba:1)"),
        ),
        ("local all all peer", None, None),
        (
            "local all all peer\nhost all all all scram-sha-256",
            Some(MD5),
            Some("an MD5 hash, which does not open scram-sha-256 (hba:2); unknown is peer (hba:1)"),
        ),
        ("host all all all ldap\nlocal all all md5", Some(SCRAM), None),
        (
            "hostgssenc all all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, and no rule asks for a password; unknown is md5 (hba:1)"),
        ),
        ("host all /^a all reject\nhost all all all md5", Some(SCRAM), None),
        ("host all all db.example.com reject\nhost all all all md5", Some(SCRAM), None),
        ("host all all samehost md5", Some(SCRAM), None),
    ];
    for (file, secret, expected) in cases {
        let (mut server, listen) = (server(file), listen());
        let mut subjects = [role("ann", *secret)];
        hba::join(&mut server, &mut subjects, &listen);
        assert_eq!(
            evidence(&subjects, &server, "no_matching_hba_rule").as_deref(),
            *expected,
            "{file} {secret:?}"
        );
    }
}

#[test]
fn where_the_server_does_not_listen() {
    let file = "host all all all md5\nlocal all all reject";
    let closed = |change: fn(&mut ListenConfig)| {
        let (mut server, mut listen) = (server(file), listen());
        change(&mut listen);
        let mut subjects = [role("ann", Some(SCRAM))];
        hba::join(&mut server, &mut subjects, &listen);
        evidence(&subjects, &server, "no_matching_hba_rule").is_some()
    };
    assert!(!closed(|_| ()));
    assert!(closed(|listen| listen.tcp = false));
    assert!(!closed(|listen| listen.tls = false));
    assert!(closed(|listen| listen.databases.clear()));
}

/// The other direction: the roles that a rule meets.
#[test]
fn roles_that_a_rule_decides_about() {
    let mut server = server(
        "local all ann trust\nlocal all all trust\nlocal all bob trust\nhost all +staff all trust",
    );
    let mut group = role("staff", None);
    if let Origin::Role(role) = &mut group.origin {
        role.can_login = false;
    }
    let mut subjects = [role("ann", None), role("bob", None), group];
    hba::join(&mut server, &mut subjects, &listen());
    let names =
        |names: &[&str]| Matches::Roles(names.iter().map(|&name| name.to_owned()).collect());
    let roles: Vec<_> = server.hba.iter().map(|rule| &rule.roles).collect();
    assert_eq!(roles, [&names(&["ann"]), &names(&["bob"]), &names(&[]), &names(&["ann"])]);
    let evidence = password_audit::scan(&[], &server, &policy());
    let evidence: Vec<_> = evidence.iter().map(|finding| &*finding.evidence).collect();
    assert_eq!(
        evidence,
        [
            r#"local all ann trust; decides about "ann""#,
            r#"local all all trust; decides about "bob""#,
            "local all bob trust; decides about no role: no such role, earlier rules decide, or the server does not listen there",
            r#"host all +staff all trust; decides about "ann""#,
        ]
    );
}

/// A file of rules: type, databases, users, address, method.
fn server(file: &str) -> ServerConfig {
    let rule = |(number, line): (usize, &str)| {
        let words: Vec<_> = line.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        let address = (words[0] != "local").then(|| words[3]);
        let network = address.and_then(|address| address.parse::<ipnet::IpNet>().ok());
        HbaRule {
            location: format!("hba:{}", number + 1),
            reach: line.to_owned(),
            method: words[words.len() - 1].to_owned(),
            connection: words[0].to_owned(),
            databases: list(words[1]),
            users: list(words[2]),
            address: network.map(|n| n.addr().to_string()).or_else(|| address.map(str::to_owned)),
            netmask: network.map(|n| n.netmask().to_string()),
            ..HbaRule::default()
        }
    };
    let lines = file.lines().enumerate();
    ServerConfig { hba: lines.map(rule).collect(), ..ServerConfig::default() }
}

fn listen() -> ListenConfig {
    let open = |name: &str| Database { name: name.to_owned(), open_to: None };
    let closed = Database { name: "closed".to_owned(), open_to: Some(["bob".to_owned()].into()) };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    ListenConfig {
        databases: vec![open("shop"), open("ann"), open("staff"), closed],
        memberships: vec![pair("ann", "staff"), pair("staff", "people"), pair("bob", "other")],
        socket: true,
        tcp: true,
        tls: true,
    }
}

fn role(name: &str, secret: Option<&str>) -> Subject {
    Subject {
        name: name.to_owned(),
        name_bytes: name.as_bytes().to_vec(),
        origin: Origin::Role(RoleFacts {
            can_login: true,
            first_seen: None,
            hash_access: None,
            hba_rules: None,
            overrides: None,
            replication: false,
            valid_until: ValidUntil::Never,
        }),
        secret: secret.map(|text| StoredSecret::read(Zeroizing::new(text.to_owned()), |_| None)),
    }
}

fn evidence(subjects: &[Subject], server: &ServerConfig, id: &str) -> Option<String> {
    let findings = password_audit::scan(subjects, server, &policy());
    findings.into_iter().find(|finding| finding.check.id == id).map(|finding| finding.evidence)
}

fn policy() -> Policy {
    Policy {
        client_max_iterations: 100_000,
        expiry_warning: 0,
        max_iterations: 1_000_000,
        min_iterations: 4096,
        mock_iterations: 4096,
        names: Vec::new(),
        max_password_age: 0,
        salt_len: 16,
        server_iterations: 4096,
        year: 2026,
    }
}
