//! Matches rules of pg_hba.conf with roles, and finds the roles that no rule accepts.

mod common;

use common::default_policy;
use password_audit::hba::{self, AuthToken, Database, HbaFile, ListenConfig, Matches, Quoting};
use password_audit::{HbaRule, Origin, ServerConfig, Subject};

const SCRAM: &str = "SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=";
const MD5: &str = "md50123456789abcdef0123456789abcdef";

const NO_RULE: Option<&str> = Some("a SCRAM verifier, and no rule of pg_hba.conf fits");

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
            Some("a SCRAM verifier, which does not open reject (hba:1, hba:3)"),
        ),
        // Two halves make a whole, also with a network in between.
        (
            "host all all 10.0.0.0/9 reject\nhost all all 10.1.0.0/16 md5\nhost all all 10.128.0.0/9 reject\nhost all all 10.0.0.0/8 md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1, hba:3)"),
        ),
        ("host all all 0.0.0.0/0 reject\nhost all all ::/0 md5", Some(SCRAM), None),
        // Types of connections.
        ("hostssl all all all reject\nhost all all all md5", Some(SCRAM), None),
        (
            "hostnossl all all all reject\nhostssl all all all reject\nhostgssenc all all all reject\nhost all all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1, hba:2)"),
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
        // Methods that do not use the stored password may let the role in.
        ("local all all peer", Some(SCRAM), None),
        ("local all all peer", None, None),
        ("local all all peer\nhost all all all scram-sha-256", Some(MD5), None),
        ("host all all all ldap\nlocal all all reject", Some(MD5), None),
        ("host all all all reject\nlocal all all oauth", None, None),
        ("hostgssenc all all all md5", None, Some("no password, which does not open md5 (hba:1)")),
        ("host all /^a all reject\nhost all all all md5", Some(SCRAM), None),
        ("host all /^a all md5", Some(SCRAM), None),
        ("host all all db.example.com reject\nhost all all all md5", Some(SCRAM), None),
        ("host all all samehost md5", Some(SCRAM), None),
        // A keyword in quotes is a name.
        (r#"host "all" all all md5"#, Some(SCRAM), NO_RULE),
        (r#"host all "all" all md5"#, Some(SCRAM), NO_RULE),
        (r#"host all "+staff" all md5"#, Some(SCRAM), NO_RULE),
        (r#"host "sameuser" all all md5"#, Some(SCRAM), NO_RULE),
        (r#"host "samerole" all all md5"#, Some(SCRAM), NO_RULE),
        (r#"host "shop" "ann" all md5"#, Some(SCRAM), None),
        (r#"host all "all",ann all md5"#, Some(SCRAM), None),
        // A host of that name.
        (
            r#"host all all "all" reject"#,
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
        ("host all all \"all\" reject\nhost all all all md5", Some(SCRAM), None),
        // Such a word may be a keyword, so that the rule may fit.
        ("host all ?all all md5", Some(SCRAM), None),
        ("host ?all all all reject\nhost all all all md5", Some(SCRAM), None),
        (
            "host ?shop ?ann all reject\nhost shop all all md5",
            Some(SCRAM),
            Some("a SCRAM verifier, which does not open reject (hba:1)"),
        ),
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
    let evidence = password_audit::scan_server(&server, &default_policy());
    let evidence: Vec<_> = evidence.iter().map(|(_, hit)| &*hit.context).collect();
    assert_eq!(
        evidence,
        [
            r#"decides about "ann"; hba:1"#,
            r#"decides about "bob"; hba:2"#,
            "decides about no role: no such role, earlier rules decide, or the server does not listen there; hba:3",
            r#"decides about "ann"; hba:4"#,
        ]
    );
}

/// Before PostgreSQL 16 a slash begins a name like any other.
#[test]
fn patterns_are_new() {
    for (patterns, refused) in [(false, true), (true, false)] {
        let (mut server, listen) =
            (server("host all /^a all md5"), ListenConfig { patterns, ..listen() });
        let mut subjects = [role("ann", Some(SCRAM))];
        hba::join(&mut server, &mut subjects, &listen);
        let found = evidence(&subjects, &server, "no_matching_hba_rule");
        assert_eq!(found.is_some(), refused, "{patterns}");
    }
}

/// A rule that decides about superusers alone is less severe.
#[test]
fn superusers_only() {
    let mut server = server("local all root trust\nlocal all all trust");
    let mut superuser = role("root", Some(SCRAM));
    if let Origin::Role(role) = &mut superuser.origin {
        role.superuser = true;
    }
    hba::join(&mut server, &mut [superuser, role("ann", Some(SCRAM))], &listen());
    let hits = password_audit::scan_server(&server, &default_policy());
    let found: Vec<_> = hits
        .iter()
        .map(|(check, hit)| (hit.severity(check).as_str(), &*hit.subject, &*hit.context))
        .collect();
    assert_eq!(
        found,
        [
            ("warning", "local all root trust", r#"decides about superusers only: "root"; hba:1"#),
            ("critical", "local all all trust", r#"decides about "ann"; hba:2"#),
        ]
    );
}

/// While the server would not load the file, no check judges by its rules.
#[test]
fn a_file_that_does_not_load() {
    let mut server = server("local all all trust");
    server.hba_file = HbaFile {
        name: "pg_hba.conf".to_owned(),
        error: Some("line 3: invalid".to_owned()),
        is_newer: true,
    };
    let hits = password_audit::scan_server(&server, &default_policy());
    let found: Vec<_> = hits.iter().map(|(check, hit)| (check.id, &*hit.subject)).collect();
    assert_eq!(found, [("hba_unreadable", "pg_hba.conf"), ("hba_not_loaded", "pg_hba.conf")]);
    assert!(hits[0].1.evidence.starts_with("line 3: invalid; "));
    let unjudged =
        ["hba_md5", "hba_password", "hba_trust", "login_without_password", "no_matching_hba_rule"];
    assert_eq!(password_audit::unjudged(&server), unjudged);

    server.hba_file.error = None;
    assert_eq!(password_audit::unjudged(&server), [""; 0]);
    let hits = password_audit::scan_server(&server, &default_policy());
    let ids: Vec<_> = hits.iter().map(|(check, _)| check.id).collect();
    assert_eq!(ids, ["hba_not_loaded", "hba_trust"]);
}

/// A role without a password that another system authenticates needs none.
#[test]
fn login_without_password() {
    for (file, expected) in [
        ("local all all scram-sha-256", true),
        ("local all all trust", true),
        ("local all all peer", false),
        ("local all all scram-sha-256\nhostssl all all all cert", false),
        ("local all bob peer", true),
    ] {
        let (mut server, mut subjects) = (server(file), [role("ann", None)]);
        hba::join(&mut server, &mut subjects, &listen());
        let found = evidence(&subjects, &server, "login_without_password");
        assert_eq!(found.is_some(), expected, "{file}");
    }
}

/// A file of rules: type, databases, users, address, method. Quotes of a word with a question mark in front
/// are not known.
fn server(file: &str) -> ServerConfig {
    let rule = |(number, line): (usize, &str)| {
        let words: Vec<_> = line.split(' ').collect();
        let list = |text: &str| text.split(',').map(token).collect();
        let address = (words[0] != "local").then(|| words[3]);
        let network = address.and_then(|address| address.parse::<ipnet::IpNet>().ok());
        let host = network.map(|n| n.addr().to_string());
        HbaRule {
            location: format!("hba:{}", number + 1),
            text: line.to_owned(),
            method: words[words.len() - 1].to_owned(),
            connection: words[0].to_owned(),
            databases: list(words[1]),
            users: list(words[2]),
            address: host.map(AuthToken::plain).or_else(|| address.map(token)),
            netmask: network.map(|n| n.netmask().to_string()),
            ..HbaRule::default()
        }
    };
    let lines = file.lines().enumerate();
    ServerConfig { hba: lines.map(rule).collect(), ..ServerConfig::default() }
}

fn token(word: &str) -> AuthToken {
    if let Some(text) = word.strip_prefix('?') {
        return AuthToken { quoting: Quoting::Unknown, ..AuthToken::plain(text) };
    }
    match word.strip_prefix('"').and_then(|word| word.strip_suffix('"')) {
        Some(text) => AuthToken { quoting: Quoting::Quoted, ..AuthToken::plain(text) },
        None => AuthToken::plain(word),
    }
}

fn listen() -> ListenConfig {
    let open = |name: &str| Database { name: name.to_owned(), open_to: None };
    let closed = Database { name: "closed".to_owned(), open_to: Some(["bob".to_owned()].into()) };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    ListenConfig {
        databases: vec![open("shop"), open("ann"), open("staff"), closed],
        memberships: vec![pair("ann", "staff"), pair("staff", "people"), pair("bob", "other")],
        patterns: true,
        socket: true,
        tcp: true,
        tls: true,
    }
}

fn role(name: &str, secret: Option<&str>) -> Subject {
    common::role(name, secret.and_then(common::plain))
}

fn evidence(subjects: &[Subject], server: &ServerConfig, id: &str) -> Option<String> {
    let on_subjects = subjects
        .iter()
        .flat_map(|subject| password_audit::scan_subject(subject, &default_policy()))
        .map(|hit| (hit.check, hit.evidence + &hit.context));
    let on_server = password_audit::scan_server(server, &default_policy());
    let on_server = on_server.into_iter().map(|(check, hit)| (check, hit.evidence + &hit.context));
    on_subjects.chain(on_server).find(|(check, _)| check.id == id).map(|(_, evidence)| evidence)
}
