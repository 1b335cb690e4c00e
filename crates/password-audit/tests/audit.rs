//! The audit's checks: each one on a subject that it is made for, and on harmless neighbours.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::num::NonZeroU32;

use password_audit::{
    self, AuditCheck, CHECKS, CheckKind, ClientKind, FirstSeen, HbaRule, Origin, ParsedSecret,
    Policy, RoleFacts, ServerConfig, Severity, StoredSecret, Subject, ValidUntil,
};
use scram_core::keys::Key;
use scram_core::{Mechanism, Parameters, Password, Verifier};
use zeroize::Zeroizing;

const SALT: &[u8] = b"\x000123456789abcde";

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

#[test]
fn server() {
    let rule = |line: u8, method: &str| HbaRule {
        location: format!("pg_hba.conf:{line}"),
        reach: "host all all 0.0.0.0/0".to_owned(),
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

/// A digest depends on the secret, its subject and its source, and on nothing else.
#[test]
fn digests() {
    let key = Key::new(Mechanism::ScramSha256, &[7; 32]).expect("32 bytes");
    let digest = |subject: &Subject| {
        password_audit::secret_digest(&key, subject).map(|key| key.as_bytes().to_vec())
    };
    let first = digest(&role("abc", strict("pw", 4096, SALT)));
    assert!(first.is_some());
    assert_eq!(first, digest(&role("abc", strict("pw", 4096, SALT))));
    assert_ne!(first, digest(&role("abc", strict("pw2", 4096, SALT))));
    assert_ne!(first, digest(&role("abd", strict("pw", 4096, SALT))));
    assert_ne!(first, digest(&row("abc", None, strict("pw", 4096, SALT))));
    assert_eq!(digest(&role("abc", None)), None);
}

#[test]
fn what_is_tried() {
    let cases = [
        (role("abc", strict("pw", 6000, SALT)), true),
        (role("abc", strict("pw", 6001, SALT)), false),
        (role("abc", plain("md50123456789abcdef0123456789abcdef")), true),
        (role("abc", plain("plain text")), false),
        (role("abc", None), false),
        (row("abc", None, plain(KAFKA)), true),
    ];
    for (subject, expected) in cases {
        assert_eq!(password_audit::is_tried(&subject, &policy()), expected, "{subject:?}");
    }

    let tried = |subject: &Subject, policy: &Policy| {
        password_audit::candidates_by_name(subject, policy)
            .iter()
            .map(|c| (c.check.id, String::from_utf8_lossy(c.as_ref()).into_owned()))
            .collect::<BTreeSet<_>>()
    };
    let subject = role("abc", strict("pw", 4096, SALT));
    let expected = ["abc", "ABC", "cba", "abcabc", "abc1", "abc123", "abc!", "abc2026", "abc2025"];
    let expected = expected.map(|text| ("password_is_name", text.to_owned()));
    let empty = [("password_empty", String::new())];
    assert_eq!(tried(&subject, &policy()), expected.into_iter().chain(empty).collect());
    let next_year = Policy { year: 2027, ..policy() };
    assert_ne!(tried(&subject, &policy()), tried(&subject, &next_year));
    assert_ne!(password_audit::guess_version(&policy()), password_audit::guess_version(&next_year));
}

/// Names of databases and the host are varied like the role's name.
#[test]
fn names_of_the_server() {
    for password in ["shop", "SHOP", "pohs", "shopshop", "shop1", "shop2025", "db7"] {
        let policy = Policy { names: vec!["shop".to_owned(), "db7".to_owned()], ..policy() };
        let subjects = [role("bob", strict(password, 4096, SALT))];
        let found = run(&subjects, &ServerConfig::default(), &policy);
        assert_eq!(ids(&found), ["password_is_name"], "{password}");
    }
}

const KAFKA: &str = "salt=MDEyMzQ1Njc4OWFiY2RlZg==,\
                     stored_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\
                     server_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,iterations=4096";

fn mongodb(iterations: u32) -> String {
    let (salt, key) = ("/".repeat(37) + "w==", "A".repeat(43) + "=");
    format!(
        r#"{{"SCRAM-SHA-256": {{"iterationCount": {iterations}, "salt": "{salt}", "storedKey": "{key}", "serverKey": "{key}"}}}}"#
    )
}

/// Rows of registered sources: other systems' credentials are read, other hashes are reported.
#[test]
fn sources() {
    let kafka = Some(password_audit::ClientKind::Kafka);
    let cases = [
        (row("a", None, strict("pw", 4096, SALT)), &[] as &[&str]),
        (row("a", None, strict("a1", 4096, SALT)), &["password_is_name"]),
        (row("a", None, strict("pw", 4095, SALT)), &["iterations_below_policy"]),
        (row("a", None, plain(KAFKA)), &[]),
        (row("a", kafka, plain(KAFKA)), &[]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=4095"))), &["iterations_below_policy"]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=16384"))), &[]),
        (row("a", None, plain(&KAFKA.replace("=4096", "=16385"))), &["iterations_above_clients"]),
        (row("a", None, plain(&mongodb(4095))), &["iterations_below_policy"]),
        (row("a", None, plain(&mongodb(4096))), &[]),
        (row("a", None, plain(&mongodb(20_000))), &[]),
        (row("a", None, strict("pw", 16_385, SALT)), &[]),
        (row("a", kafka, strict("pw", 16_385, SALT)), &["iterations_above_clients"]),
        (
            row("a", None, plain("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")),
            &[],
        ),
        (row("a", None, plain("hunter2")), &["password_plain_text"]),
        (expecting_scram(plain("hunter2")), &["password_plain_text", "not_scram"]),
        (expecting_scram(plain("5f4dcc3b5aa765d61d8327deb882cf99")), &["hash_weak", "not_scram"]),
        (
            expecting_scram(plain("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW")),
            &["not_scram"],
        ),
        (expecting_scram(plain("md50123456789abcdef0123456789abcdef")), &["md5_hash", "not_scram"]),
        (expecting_scram(strict("pw", 4096, SALT)), &[]),
        (expecting_scram(plain(KAFKA)), &[]),
        (expecting_scram(None), &[]),
        (row("a", None, plain("md50123456789abcdef0123456789abcdef")), &["md5_hash"]),
        (row("a", None, plain("SCRAM-SHA-256$4096:x")), &["scram_malformed"]),
        (row("a", None, None), &[]),
    ];
    let policy = Policy { client_max_iterations: 20_000, max_iterations: 20_000, ..policy() };
    for (subject, expected) in cases {
        let printed = format!("{subject:?}");
        let one: Vec<_> = password_audit::scan_subject(&subject, &policy)
            .iter()
            .map(|hit| hit.check.id)
            .collect();
        let found = run(&[subject], &ServerConfig::default(), &policy);
        assert_eq!(ids(&found), expected, "{printed}");
        let derived = |id: &&str| *id != "password_is_name";
        assert_eq!(one, expected.iter().copied().filter(derived).collect::<Vec<_>>(), "{printed}");
    }

    let many = [row("a", kafka, strict("pw", 17_000, SALT))];
    let found = run(&many, &ServerConfig::default(), &policy);
    assert_eq!(found[0].evidence, "iteration count 17000, refused by Kafka above 16384");
    let few = [row("a", None, plain(&KAFKA.replace("=4096", "=100")))];
    let found = run(&few, &ServerConfig::default(), &policy);
    assert_eq!(found[0].evidence, "iteration count 100, refused by Kafka below 4096");
    let few = [row("a", None, strict("pw", 100, &SALT[..15]))];
    let found = run(&few, &ServerConfig::default(), &policy);
    let evidence: Vec<_> = found.iter().map(|finding| &*finding.evidence).collect();
    let expected = [
        "iteration count 100, at least 4096 wanted, refused by pg8000 below 4096",
        "salt of 15 bytes, at least 16 wanted; Odyssey accepts 16 bytes only",
    ];
    assert_eq!(evidence, expected);
    let all =
        Policy { client_max_iterations: 100_000, max_iterations: 1_000_000, ..policy.clone() };
    let found = run(&[row("a", None, strict("pw", 100_001, SALT))], &ServerConfig::default(), &all);
    assert_eq!(
        found[0].evidence,
        "iteration count 100001, refused by Cyrus SASL above 65536, pgjdbc above 100000, \
         node-postgres above 100000, rust-postgres above 100000"
    );
    let limited = Policy { max_iterations: 10_000, ..policy.clone() };
    let found = run(&many, &ServerConfig::default(), &limited);
    assert!(
        found[0].evidence.ends_with("no password is tried on it, as scram.max_iterations is 10000")
    );
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

/// Where the server's encoding is not UTF-8, its bytes and the client's are both tried.
#[test]
fn names_in_another_encoding() {
    let latin_1 = b"\xE9lan".as_slice();
    for bytes in [latin_1, "\u{E9}lan".as_bytes()] {
        let verifier = derive(Mechanism::ScramSha256, &Password::prepare(bytes), 4096, SALT);
        let secret = StoredSecret::parse(Zeroizing::new(verifier), |_| None);
        let subject = Subject { name_bytes: latin_1.to_vec(), ..role("\u{E9}lan", Some(secret)) };
        assert_eq!(found(&[subject], &ServerConfig::default()), ["password_is_name"]);
    }
}

/// A failing `search` ends the run.
#[test]
fn a_search_can_fail() {
    let subjects = [role("abc", strict("pw", 4096, SALT))];
    let mut searches = 0;
    let result = password_audit::guess_names(&subjects[0], &policy(), &[], |search| {
        searches += 1;
        search.stop();
        Err("cancelled")
    });
    assert_eq!((result.err(), searches), (Some("cancelled"), 1));
}

#[test]
fn nothing_secret_is_printed() {
    let subject = role("bob", strict("pw", 4096, SALT));
    let printed = format!("{subject:?}");
    assert!(printed.contains("StoredSecret { kind: ScramSha256, .. }"), "{printed}");
    assert!(!printed.contains("SCRAM-SHA-256$"), "{printed}");
    assert_eq!(Severity::Critical.to_string(), "critical");
    assert!(CHECKS.iter().any(|check| matches!(check.kind, CheckKind::Guess(_))));
}

/// The ids of the checks that hit, in the order of the report.
fn found(subjects: &[Subject], server: &ServerConfig) -> Vec<&'static str> {
    ids(&run(subjects, server, &policy()))
}

fn ids(findings: &[Found]) -> Vec<&'static str> {
    findings.iter().map(|finding| finding.check.id).collect()
}

/// A hit of a check.
struct Found {
    check: &'static AuditCheck,
    severity: Severity,
    evidence: String,
}

/// Every check on these subjects and this server, in the order of the report; the word list apart.
fn run(subjects: &[Subject], server: &ServerConfig, policy: &Policy) -> Vec<Found> {
    let by_server = password_audit::candidates_by_server(policy);
    let mut found = Vec::new();
    for subject in subjects {
        let guessed: Result<_, Infallible> =
            password_audit::guess_names(subject, policy, &by_server, |search| {
                search.work(|| ());
                Ok(())
            });
        found.extend(guessed.expect("it cannot fail").into_iter().map(|check| Found {
            check,
            severity: check.severity,
            evidence: check.guess_evidence().unwrap_or_default().to_owned(),
        }));
        let scanned = password_audit::scan_subject(subject, policy);
        found.extend(scanned.into_iter().map(|hit| Found {
            check: hit.check,
            severity: hit.severity,
            evidence: hit.evidence,
        }));
    }
    let server = password_audit::scan_server(server, policy);
    found.extend(server.into_iter().map(|(check, hit)| Found {
        check,
        severity: hit.severity(check),
        evidence: hit.evidence,
    }));
    let place = |found: &Found| CHECKS.iter().position(|check| check.id == found.check.id);
    found.sort_by_key(place);
    found
}

fn policy() -> Policy {
    Policy {
        client_max_iterations: 5000,
        expiry_warning: 60,
        max_iterations: 6000,
        min_iterations: 4096,
        mock_iterations: 4096,
        names: Vec::new(),
        max_password_age: 0,
        salt_len: 16,
        server_iterations: 4096,
        year: 2026,
    }
}

/// A role that may log in until next year.
fn role(name: &str, secret: Option<StoredSecret>) -> Subject {
    let role = RoleFacts {
        can_login: true,
        first_seen: None,
        hash_access: None,
        hba_rules: None,
        overrides: None,
        powers: Vec::new(),
        replication: false,
        superuser: false,
        valid_until: ValidUntil::At { minutes: 500_000, text: "next year".to_owned() },
    };
    Subject {
        name: name.to_owned(),
        name_bytes: name.as_bytes().to_vec(),
        origin: Origin::Role(role),
        secret,
    }
}

fn group() -> RoleFacts {
    let valid_until = ValidUntil::Never;
    RoleFacts {
        can_login: false,
        first_seen: None,
        hash_access: None,
        hba_rules: None,
        overrides: None,
        powers: Vec::new(),
        replication: false,
        superuser: false,
        valid_until,
    }
}

/// A row of a registered source.
fn row(name: &str, client: Option<ClientKind>, secret: Option<StoredSecret>) -> Subject {
    let origin = Origin::Registered { name: "app".into(), client, expects_scram: false };
    Subject { origin, ..role(name, secret) }
}

fn expecting_scram(secret: Option<StoredSecret>) -> Subject {
    let origin = Origin::Registered { name: "app".into(), client: None, expects_scram: true };
    Subject { origin, ..role("a", secret) }
}

/// The harmless role with one thing changed.
fn with(change: impl FnOnce(&mut RoleFacts)) -> Subject {
    let mut subject = role("bob", strict("pw", 4096, SALT));
    if let Origin::Role(role) = &mut subject.origin {
        change(role);
    }
    subject
}

fn until(valid_until: ValidUntil) -> Subject {
    with(|role| role.valid_until = valid_until)
}

/// A secret that the server does not accept as a hash.
fn plain(text: &str) -> Option<StoredSecret> {
    Some(StoredSecret::parse(Zeroizing::new(text.to_owned()), |_| None))
}

/// A SCRAM-SHA-256 verifier in the strict form.
fn strict(password: &str, iterations: u32, salt: &[u8]) -> Option<StoredSecret> {
    Some(StoredSecret::parse(Zeroizing::new(verifier(password, iterations, salt)), |_| {
        panic!("asked about a strict one")
    }))
}

fn verifier(password: &str, iterations: u32, salt: &[u8]) -> String {
    text_of(Mechanism::ScramSha256, password, iterations, salt)
}

fn text_of(mechanism: Mechanism, password: &str, iterations: u32, salt: &[u8]) -> String {
    derive(mechanism, &Password::prepare(password.as_bytes()), iterations, salt)
}

fn derive(mechanism: Mechanism, password: &Password, iterations: u32, salt: &[u8]) -> String {
    let iterations = NonZeroU32::new(iterations).expect("positive");
    let parameters = Parameters::new(mechanism, iterations, salt.to_vec()).expect("parameters");
    Verifier::derive(parameters, password, || ()).to_string()
}

/// A verifier as the server reads it.
fn served(text: &str, iterations: i32) -> ParsedSecret {
    let verifier: Verifier = text.parse().expect("a verifier");
    ParsedSecret {
        iterations,
        salt: verifier.salt().to_vec(),
        server_key: verifier.server_key().clone(),
        stored_key: verifier.stored_key().clone(),
    }
}

fn md5_of(password: &str, name: &str) -> String {
    use md5::Digest;

    let hash = md5::Md5::digest(format!("{password}{name}"));
    let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("md5{digits}")
}
