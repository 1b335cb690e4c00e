//! The checks on roles and the server: each one on a subject that it is made for, and on harmless
//! neighbours.

mod common;

use std::collections::BTreeSet;

use password_audit::{
    self, CHECKS, FirstSeen, HbaRule, Origin, Policy, RoleFacts, ServerConfig, Severity,
    StoredSecret, Subject, ValidUntil,
};
use scram_core::Mechanism;
use zeroize::Zeroizing;

use common::{
    SALT, found, group, ids, md5_of, plain, policy, role, run, served, strict, text_of, until,
    verifier, with,
};

#[test]
fn registry() {
    let ids: BTreeSet<_> = CHECKS.iter().map(|check| check.id).collect();
    assert_eq!(ids.len(), CHECKS.len(), "an id is given twice");
    for check in CHECKS {
        // Databases in any encoding show these.
        for text in [check.id, check.title, check.remedy] {
            assert!(text.is_ascii() && !text.is_empty(), "{}", check.id);
        }
        assert!(check.remedy.ends_with('.'), "{}", check.id);
        assert!(!check.title.ends_with('.'), "{}", check.id);
        assert_eq!(password_audit::check(check.id).map(|found| found.title), Some(check.title));
    }
    assert!(password_audit::check("no_such_check").is_none());
}

/// One role that is to be found, by exactly these checks.
#[test]
fn roles() {
    let at = |minutes| ValidUntil::At { minutes, text: "then".to_owned() };
    let lax = || {
        let text = verifier("pw", 4096, SALT).replace("$4096", "$+4096");
        let served = served(&text.replace("$+", "$"), 4096);
        Some(StoredSecret::parse(Zeroizing::new(text), |_| Some(served)))
    };
    let served_once = || {
        let text = verifier("lax", 1, SALT).replace("$1:", "$4294967297:");
        let served = served(&verifier("lax", 1, SALT), 1);
        Some(StoredSecret::parse(Zeroizing::new(text), |_| Some(served)))
    };
    let cases = [
        ("harmless", role("bob", strict("pw", 4096, SALT)), &[] as &[&str]),
        ("prepared", role("bob", strict("b\u{AD}ob", 4096, SALT)), &["password_is_name"]),
        ("same", role("bob", strict("bob", 4096, SALT)), &["password_is_name"]),
        ("upper case", role("bob", strict("BOB", 4096, SALT)), &["password_is_name"]),
        ("reversed", role("abc", strict("cba", 4096, SALT)), &["password_is_name"]),
        ("doubled", role("bob", strict("bobbob", 4096, SALT)), &["password_is_name"]),
        ("with 123", role("bob", strict("bob123", 4096, SALT)), &["password_is_name"]),
        ("last year", role("bob", strict("bob2025", 4096, SALT)), &["password_is_name"]),
        ("long ago", role("bob", strict("bob1999", 4096, SALT)), &[]),
        ("empty", role("bob", strict("", 4096, SALT)), &["password_empty"]),
        ("md5", role("bob", plain("md50123456789abcdef0123456789abcdef")), &["md5_hash"]),
        (
            "md5 of the name",
            role("bob", plain(&md5_of("bob", "bob"))),
            &["password_is_name", "md5_hash"],
        ),
        ("md5 of nothing", role("bob", plain(&md5_of("", "bob"))), &["password_empty", "md5_hash"]),
        ("malformed", role("bob", plain("SCRAM-SHA-256$4096:x")), &["scram_malformed"]),
        ("plain text", role("bob", plain("bob")), &["scram_malformed"]),
        (
            "another mechanism",
            role("bob", plain(&text_of(Mechanism::ScramSha512, "pw", 4096, SALT))),
            &["scram_malformed"],
        ),
        ("lax", role("bob", lax()), &["scram_lax"]),
        (
            "served with one iteration",
            role("lax", served_once()),
            &["password_is_name", "scram_lax", "iterations_below_policy", "iterations_reveal_role"],
        ),
        (
            "few",
            role("bob", strict("pw", 4095, SALT)),
            &["iterations_below_policy", "iterations_reveal_role"],
        ),
        (
            "many",
            role("bob", strict("pw", 5001, SALT)),
            &["iterations_above_clients", "iterations_reveal_role"],
        ),
        (
            "too many to try",
            role("bob", strict("bob", 6001, SALT)),
            &["iterations_above_clients", "iterations_reveal_role"],
        ),
        ("short salt", role("bob", strict("pw", 4096, &SALT[..15])), &["salt_short"]),
        ("salt of text", role("bob", strict("pw", 4096, b"0123456789abcdef")), &["salt_derived"]),
        (
            "the name",
            role("bobbybob", strict("pw", 4096, b"bobbybob")),
            &["salt_short", "salt_derived"],
        ),
        (
            "md5 of \"bob\"",
            role(
                "bob",
                strict("pw", 4096, &hex::decode("9f9d51bc70ef21ca5c14f307980a29d8").expect("hex")),
            ),
            &["salt_derived"],
        ),
        (
            "sha256 of \"bob\"",
            role(
                "bob",
                strict("pw", 4096, &hex::decode("81b637d8fcd2c6da6359e6963113a117").expect("hex")),
            ),
            &["salt_derived"],
        ),
        (
            "sha256 of another",
            role(
                "eve",
                strict("pw", 4096, &hex::decode("81b637d8fcd2c6da6359e6963113a117").expect("hex")),
            ),
            &[],
        ),
        ("one byte", role("bob", strict("pw", 4096, &[0; 16])), &["salt_derived"]),
        ("no password", role("bob", None), &["login_without_password"]),
        ("group", Subject { origin: Origin::Role(group()), ..role("bob", None) }, &[]),
        (
            "group with a password",
            Subject { origin: Origin::Role(group()), ..role("bob", strict("pw", 4096, SALT)) },
            &["password_without_login"],
        ),
        ("expired", until(at(-1)), &["password_expired"]),
        ("expires now", until(at(0)), &["password_expires_soon"]),
        ("expires soon", until(at(59)), &["password_expires_soon"]),
        ("expires later", until(at(60)), &[]),
        ("does not expire", until(ValidUntil::Never), &["password_never_expires"]),
        (
            "override",
            with(|role| role.overrides = Some("scram_iterations=1".to_owned())),
            &["role_setting_override"],
        ),
        (
            "reader",
            with(|role| role.hash_access = Some("SELECT on pg_authid".to_owned())),
            &["hash_readable"],
        ),
    ];
    for (name, subject, expected) in cases {
        assert_eq!(found(&[subject], &ServerConfig::default()), expected, "{name}");
    }
}

/// What a role can do weighs its findings; the evidence says why.
#[test]
fn weighed() {
    let powers = |powers: &[&str]| {
        let powers: Vec<_> = powers.iter().map(|&power| power.to_owned()).collect();
        move |role: &mut RoleFacts| role.powers = powers
    };
    let short = |change: &dyn Fn(&mut RoleFacts)| {
        let mut subject = role("bob", strict("pw", 4096, &SALT[..15]));
        if let Origin::Role(role) = &mut subject.origin {
            change(role);
        }
        let hits = password_audit::scan_subject(&subject, &policy());
        let found = hits.into_iter().find(|f| f.check.id == "salt_short");
        let found = found.expect("a finding");
        let why = found.evidence.split_once("bytes only").expect("the evidence").1.to_owned();
        (found.severity.as_str(), why)
    };
    let nologin = |role: &mut RoleFacts| role.can_login = false;
    let two = powers(&["SUPERUSER", "REPLICATION"]);
    let owner = powers(&["ownership of database shop"]);
    assert_eq!(short(&|_| ()), ("warning", String::new()));
    assert_eq!(
        short(&|role| two.clone()(role)),
        ("critical", "; the role has SUPERUSER, REPLICATION".to_owned())
    );
    assert_eq!(short(&nologin), ("notice", "; the role has NOLOGIN".to_owned()));
    assert_eq!(
        short(&|role| {
            owner.clone()(role);
            nologin(role);
        }),
        ("warning", "; the role has ownership of database shop; the role has NOLOGIN".to_owned())
    );

    // Both at once cancel each other out, also for a check that cannot be raised.
    let subject = with(|role| {
        powers(&["SUPERUSER"])(role);
        nologin(role);
    });
    let md5 = Subject { secret: plain("md50123456789abcdef0123456789abcdef"), ..subject };
    let found = run(&[md5], &ServerConfig::default(), &policy());
    assert_eq!(found[0].severity, Severity::Critical);

    // Already critical, and a guess, which stays as it is.
    let subject = with(powers(&["SUPERUSER"]));
    let md5 = Subject { secret: plain("md50123456789abcdef0123456789abcdef"), ..subject };
    let found = run(&[md5], &ServerConfig::default(), &policy());
    assert_eq!(found[0].severity, Severity::Critical);
    assert_eq!(found[0].evidence, "stored as md5; the role has SUPERUSER");
    let mut subject = role("bob", strict("bob", 4096, SALT));
    if let Origin::Role(role) = &mut subject.origin {
        nologin(role);
    }
    let found = run(&[subject], &ServerConfig::default(), &policy());
    assert_eq!((found[0].check.id, found[0].severity), ("password_is_name", Severity::Critical));
}

/// The library has several names, and can be in one of two lists. A setting that is not known is no finding.
#[test]
fn guard() {
    let evidence = |settings: &[(&str, &str)]| {
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let server = ServerConfig { settings: settings.collect(), ..ServerConfig::default() };
        run(&[], &server, &policy()).into_iter().map(|finding| finding.evidence).collect::<Vec<_>>()
    };
    let (mode, session, shared) =
        ("scram.guard", "session_preload_libraries", "shared_preload_libraries");
    assert_eq!(evidence(&[]), [""; 0]);
    for list in ["scram_ext", "pgaudit, \"$libdir/scram_ext\"", "/opt/lib/scram_ext.so ,x"] {
        assert_eq!(evidence(&[(mode, "warn"), (session, list), (shared, "")]), [""; 0], "{list}");
        assert_eq!(
            evidence(&[(mode, "enforce"), (session, ""), (shared, list)]),
            [""; 0],
            "{list}"
        );
        assert_eq!(evidence(&[(mode, "off"), (session, list)]), ["scram.guard is off"], "{list}");
    }
    assert_eq!(
        evidence(&[(mode, "warn"), (session, "scram_ext_more"), (shared, "pg_cron")]),
        ["session_preload_libraries is scram_ext_more"]
    );
    assert_eq!(
        evidence(&[(mode, "off"), (session, "")]),
        ["scram.guard is off; session_preload_libraries is empty"]
    );
}

#[test]
fn server() {
    let rule = |line: u8, method: &str| HbaRule {
        location: format!("pg_hba.conf:{line}"),
        text: "host all all 0.0.0.0/0".to_owned(),
        method: method.to_owned(),
        ..HbaRule::default()
    };
    let settings = [
        ("password_encryption", "md5"),
        ("log_statement", "ddl"),
        ("log_min_duration_statement", "-1"),
        ("pg_stat_statements.track_utility", "on"),
    ];
    let server = ServerConfig {
        overrides: vec![("database shop".to_owned(), "password_encryption=md5".to_owned())],
        hba: vec![rule(1, "trust"), rule(2, "password"), rule(3, "md5"), rule(4, "scram-sha-256")],
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..ServerConfig::default()
    };
    let expected = [
        "role_setting_override",
        "password_encryption_md5",
        "hba_trust",
        "hba_password",
        "hba_md5",
        "passwords_logged",
        "passwords_logged",
    ];
    assert_eq!(found(&[], &server), expected);

    let low = Policy { server_iterations: 4095, ..policy() };
    assert_eq!(ids(&run(&[], &ServerConfig::default(), &low)), ["iterations_setting_low"]);
}

#[test]
fn age() {
    let seen = |minutes| {
        with(|role| role.first_seen = Some(FirstSeen { minutes, text: "then".to_owned() }))
    };
    let aged = Policy { max_password_age: 60, ..policy() };
    assert_eq!(ids(&run(&[seen(60)], &ServerConfig::default(), &aged)), ["password_unchanged"]);
    assert_eq!(ids(&run(&[seen(59)], &ServerConfig::default(), &aged)), [""; 0]);
    assert_eq!(ids(&run(&[seen(60)], &ServerConfig::default(), &policy())), [""; 0]);
}
