//! One cluster with a seed for each check, and a harmless neighbour of each seed. The audit must
//! find exactly the seeds.

use std::collections::BTreeSet;
use std::fs;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Run, cell, fixtures, rows};

/// A seed that makes a check hit: the check, the source and subject that it names, and the
/// statement. `{…}` in it are passwords that no candidate matches. A harmless seed has no check.
struct Seed {
    check: Option<&'static str>,
    source: &'static str,
    subject: &'static str,
    sql: &'static str,
}

const fn bad(check: &'static str, subject: &'static str, sql: &'static str) -> Seed {
    Seed { check: Some(check), source: "role", subject, sql }
}

const fn good(subject: &'static str, sql: &'static str) -> Seed {
    Seed { check: None, source: "role", subject, sql }
}

const fn bad_server(check: &'static str, subject: &'static str, sql: &'static str) -> Seed {
    Seed { check: Some(check), source: "server", subject, sql }
}

/// `make(role, verifier)` makes a role with LOGIN whose password expires one day.
const SEEDS: &[Seed] = &[
    // The server and scram.generate() never make one, but other programs do.
    bad(
        "password_empty",
        "blank",
        "make('blank', 'SCRAM-SHA-256$4096:EBESExQVFhcYGRobHB0eHw==$pSOF/CX83/lKuhdJ3mP8uk26fAxXQ/0cRRY8wthVZaw=:VusUWnn6SoXSo4+Nav1sVo8+9KHoO5Jl6tKlD/dQGlc=')",
    ),
    good("space", "make('space', scram.generate(' '))"),
    bad("password_is_name", "Ann", "make('Ann', scram.generate('ann'))"),
    good("bob", "make('bob', scram.generate('not bob'))"),
    bad("password_in_wordlist", "common", "make('common', scram.generate('dragon'))"),
    good("common_2", "make('common_2', scram.generate('dragon in my word list'))"),
    bad("md5_hash", "old_hash", "make('old_hash', 'md5' || md5('not guessed' || 'old_hash'))"),
    // Like an MD5 hash, but of another length, so that the server hashes it as a password.
    good("no_md5", "make('no_md5', scram.generate('md5' || md5('x') || '0'))"),
    bad(
        "scram_malformed",
        "cut_off",
        "make('cut_off', left(scram.generate(random_password()), 80))",
    ),
    good("whole", "make('whole', scram.generate(random_password()))"),
    bad(
        "scram_lax",
        "lax",
        "make('lax', replace(scram.generate(random_password()), '$4096:', '$ 4096:'))",
    ),
    good("strict", "make('strict', scram.generate(random_password()))"),
    bad(
        "iterations_below_policy",
        "few",
        "make('few', scram.generate(random_password(), 4095))",
    ),
    good("least", "make('least', scram.generate(random_password(), 4096))"),
    bad(
        "iterations_above_clients",
        "many",
        "make('many', scram.generate(random_password(), 100001))",
    ),
    good("most", "make('most', scram.generate(random_password(), 100000))"),
    bad(
        "iterations_reveal_role",
        "outstanding",
        "make('outstanding', scram.generate(random_password(), 4097))",
    ),
    good("like_all", "make('like_all', scram.generate(random_password(), 4096))"),
    bad(
        "salt_short",
        "short",
        r"make('short', scram.generate(random_password(), salt => '\x00112233445566778899aabbccddee'))",
    ),
    good(
        "long",
        r"make('long', scram.generate(random_password(), salt => '\x00112233445566778899aabbccddeeff'))",
    ),
    bad(
        "salt_derived",
        "puppet",
        "make('puppet', scram.generate(random_password(), salt => 'puppet-made-salt'::bytea))",
    ),
    good("random", "make('random', scram.generate(random_password()))"),
    bad(
        "salt_shared",
        "salt_1",
        r"make('salt_1', scram.generate(random_password(), salt => '\x01112233445566778899aabbccddeeff'))",
    ),
    bad(
        "salt_shared",
        "salt_2",
        r"make('salt_2', scram.generate(random_password(), salt => '\x01112233445566778899aabbccddeeff'))",
    ),
    // The audit cannot see that one password has two salts, because the two stored texts share
    // nothing.
    good("same_1", "make('same_1', scram.generate('the same for both'))"),
    good("same_2", "make('same_2', scram.generate('the same for both'))"),
    bad("verifier_shared", "copy_1", "make('copy_1', scram.generate(random_password()))"),
    bad(
        "verifier_shared",
        "copy_2",
        "make('copy_2', (SELECT rolpassword FROM pg_authid WHERE rolname = 'copy_1'))",
    ),
    Seed {
        check: Some("password_plain_text"),
        source: "app",
        subject: "plain",
        sql: "account('plain', 'hunter2')",
    },
    Seed {
        check: Some("hash_weak"),
        source: "app",
        subject: "unknown rows",
        sql: "account('weak', md5('hunter2'))",
    },
    Seed {
        check: None,
        source: "app",
        subject: "bcrypt",
        sql: "account('bcrypt', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW')",
    },
    Seed {
        check: Some("not_scram"),
        source: "handshakes",
        subject: "bcrypt rows",
        sql: "run('CREATE TABLE handshakes AS SELECT ''hunter'' AS name, ''$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW'' AS secret'),
             run('SELECT scram.add_audit_source(''handshakes'', ''handshakes'', ''name'', ''secret'')'),
             run('UPDATE scram.audit_source SET expects = ''scram'' WHERE name = ''handshakes''')",
    },
    Seed {
        check: None,
        source: "app",
        subject: "hashed",
        sql: "account('hashed', scram.generate(random_password(), mechanism => 'SCRAM-SHA-512'))",
    },
    bad("login_without_password", "no_password", "make('no_password', NULL)"),
    good("a_group", "run('CREATE ROLE a_group')"),
    bad(
        "password_without_login",
        "no_login",
        "make('no_login', scram.generate(random_password())), run('ALTER ROLE no_login NOLOGIN')",
    ),
    bad(
        "password_expired",
        "expired",
        "make('expired', scram.generate(random_password())), run('ALTER ROLE expired VALID UNTIL ''2020-01-01''')",
    ),
    bad(
        "password_expires_soon",
        "soon",
        "make('soon', scram.generate(random_password())), run(format('ALTER ROLE soon VALID UNTIL %L', now() + interval '6 days'))",
    ),
    good(
        "later",
        "make('later', scram.generate(random_password())), run(format('ALTER ROLE later VALID UNTIL %L', now() + interval '8 days'))",
    ),
    // By the rules of [`HBA`].
    bad("no_matching_hba_rule", "rejected", "make('rejected', scram.generate(random_password()))"),
    bad("no_matching_hba_rule", "asked", "make('asked', 'md5' || md5('not guessed' || 'asked'))"),
    good("asked_too", "make('asked_too', scram.generate(random_password()))"),
    bad("password_unchanged", "stale", "make('stale', scram.generate(random_password()))"),
    good("fresh", "make('fresh', scram.generate(random_password()))"),
    bad(
        "role_setting_override",
        "stuck",
        "make('stuck', scram.generate(random_password())), run('ALTER ROLE stuck SET password_encryption = ''md5''')",
    ),
    good(
        "tuned",
        "make('tuned', scram.generate(random_password())), run('ALTER ROLE tuned SET work_mem = ''8MB''')",
    ),
    bad_server(
        "role_setting_override",
        "database legacy",
        "run('ALTER DATABASE legacy SET password_encryption = ''md5''')",
    ),
    bad_server(
        "role_setting_override",
        "all roles",
        "run('ALTER ROLE ALL SET password_encryption = ''scram-sha-256''')",
    ),
    bad(
        "hash_readable",
        "reader",
        "make('reader', scram.generate(random_password())), run('GRANT pg_read_all_data TO reader')",
    ),
    bad(
        "hash_readable",
        "shadow",
        "make('shadow', scram.generate(random_password())), run('GRANT SELECT (passwd) ON pg_shadow TO shadow')",
    ),
    good(
        "monitor",
        "make('monitor', scram.generate(random_password())), run('GRANT pg_monitor TO monitor'),
         run('GRANT SELECT (rolname) ON pg_authid TO monitor')",
    ),
    bad_server(
        "source_unreadable",
        "source broken",
        "run('CREATE MATERIALIZED VIEW broken AS SELECT ''x''::text AS name, ''x''::text AS secret WITH NO DATA'),
         run('SELECT scram.add_audit_source(''broken'', ''broken'', ''name'', ''secret'')')",
    ),
    bad_server("password_encryption_md5", "password_encryption", ""),
    bad_server("hba_trust", "local all all trust", ""),
    bad_server("hba_password", "local nowhere all password", ""),
    bad_server("hba_md5", "local nowhere all md5", ""),
    bad_server("passwords_logged", "log_statement", ""),
    bad_server("passwords_logged", "log_min_duration_statement", ""),
    bad_server("guard_off", "scram.guard", ""),
    bad(
        "password_never_expires",
        "for_ever",
        "make('for_ever', scram.generate(random_password())), run('ALTER ROLE for_ever VALID UNTIL ''infinity''')",
    ),
];

/// Findings that the seeds above have in addition, in every version.
const ALSO: &[(&str, &str, &str)] = &[
    ("role", "few", "iterations_reveal_role"),
    ("role", "many", "iterations_reveal_role"),
    ("role", "most", "iterations_reveal_role"),
    ("role", "asked", "md5_hash"),
    // initdb's.
    ("role", "postgres", "login_without_password"),
    // A member of pg_read_all_data reads the source too.
    ("server", "source app", "hash_readable"),
    ("server", "source broken", "hash_readable"),
    ("server", "source handshakes", "hash_readable"),
];

/// Rules placed above the two lines of every cluster, the first of which trusts every user on the
/// socket. A rule for a database that does not exist still counts as a rule.
const HBA: [&str; 6] = [
    "local nowhere all password",
    "local nowhere all md5",
    "local all rejected reject",
    "host all rejected 0.0.0.0/0 reject",
    "local all asked,asked_too scram-sha-256",
    "host all asked,asked_too 0.0.0.0/0 scram-sha-256",
];

/// PostgreSQL 15 has no setting for its count of 4096: it is low only where the policy asks for more,
/// and then every role with that count is below it.
const LOW: &str = "iterations_setting_low";

/// Found once pg_hba.conf is broken, which leaves nothing to find about its rules.
const UNREADABLE: &str = "hba_unreadable";
const NOT_LOADED: &str = "hba_not_loaded";

#[test]
fn what_was_seeded_is_found_and_nothing_else() {
    let mut builder = Cluster::builder()
        .conf("password_encryption = md5")
        .conf("log_statement = ddl")
        .conf("log_min_duration_statement = 1h")
        .conf("session_preload_libraries = scram_ext")
        .conf("scram.max_password_age = '180 d'")
        .conf("scram.expiry_warning = '7 d'");
    for rule in HBA {
        builder = builder.hba(rule);
    }
    let cluster = builder.start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    seed(&mut client);

    // A check that is new needs a seed here.
    let known = "SELECT check_id FROM scram.audit_checks()";
    let known: BTreeSet<_> = rows(&mut client, known).into_iter().flatten().flatten().collect();
    let seeded = SEEDS.iter().filter_map(|seed| seed.check).chain([LOW, UNREADABLE, NOT_LOADED]);
    let seeded: BTreeSet<_> = seeded.map(str::to_owned).collect();
    assert_eq!(known, seeded, "checks with a seed");

    // Two runs, because the first one must record a secret before it can become old.
    Run::call(&mut client);
    let age = "UPDATE scram_internal.role_secret SET first_seen = first_seen - interval '181 days' WHERE subject = 'stale';
               UPDATE scram_internal.role_secret SET first_seen = first_seen - interval '179 days' WHERE subject = 'fresh'";
    client.batch_execute(age).expect("time passes");
    let run = Run::call(&mut client);
    assert_eq!(run.status, "done", "{run:?}");

    let mut expected: BTreeSet<_> = SEEDS
        .iter()
        .filter_map(|seed| Some((seed.source, seed.subject, seed.check?)))
        .chain(ALSO.iter().copied())
        .map(|(source, subject, check)| [source, subject, check].map(str::to_owned))
        .collect();
    let good: Vec<_> = SEEDS.iter().filter(|seed| seed.check.is_none()).collect();
    for seed in &good {
        let there = match seed.source {
            "role" => format!("SELECT count(*) FROM pg_roles WHERE rolname = '{}'", seed.subject),
            _ => format!("SELECT count(*) FROM account WHERE name = '{}'", seed.subject),
        };
        assert_eq!(cell(&mut client, &there).as_deref(), Some("1"), "{}", seed.subject);
    }
    assert_eq!(found(&mut client, "scram.audit_finding"), expected, "the run");
    // `audit()` stores no state: it does not try the word list, and on sources it does not derive
    // keys.
    expected.retain(|[_, _, check]| check != "password_in_wordlist");
    assert_eq!(found(&mut client, "scram.audit()"), live(&expected), "audit()");

    client.batch_execute("SET scram.min_iterations = 4097").expect("a stricter policy");
    expected.insert(["server", "scram_iterations", LOW].map(str::to_owned));
    let below = "SELECT rolname FROM pg_authid WHERE rolpassword ~ '^SCRAM-SHA-256[$] ?4096:' AND rolname <> 'cut_off'";
    for role in rows(&mut client, below).into_iter().flatten().flatten() {
        expected.insert(["role".to_owned(), role, "iterations_below_policy".to_owned()]);
    }
    expected.insert(["app", "scram-sha-512 rows", "iterations_below_policy"].map(str::to_owned));
    // The handshake's answer follows the policy.
    expected.insert(["app", "rows", "iterations_reveal_role"].map(str::to_owned));
    assert_eq!(found(&mut client, "scram.audit()"), live(&expected), "by a stricter policy");

    let hba = cluster.dir().join("data/pg_hba.conf");
    let broken = fs::read_to_string(&hba).expect("pg_hba.conf") + "host all all\n";
    fs::write(&hba, broken).expect("pg_hba.conf");
    let of_rules =
        ["hba_trust", "hba_password", "hba_md5", "no_matching_hba_rule", "login_without_password"];
    expected.retain(|[_, _, check]| !of_rules.contains(&&**check));
    for check in [UNREADABLE, NOT_LOADED] {
        expected.insert(["server", "pg_hba.conf", check].map(str::to_owned));
    }
    assert_eq!(found(&mut client, "scram.audit()"), live(&expected), "by a broken file");
}

fn seed(client: &mut Client) {
    client.batch_execute(fixtures::ROLES).expect("helpers");
    client
        .batch_execute(
            "CREATE FUNCTION random_password() RETURNS text LANGUAGE sql AS 'SELECT pg_temp.password()';
             CREATE FUNCTION run(statement text) RETURNS void LANGUAGE plpgsql AS
                 $$BEGIN EXECUTE statement; END$$;
             CREATE FUNCTION make(role name, verifier text) RETURNS void LANGUAGE sql AS
                 $$SELECT pg_temp.make_role(role, verifier, now() + interval '1 year')$$;
             CREATE TABLE account (name text, secret text);
             CREATE FUNCTION account(name text, secret text) RETURNS void LANGUAGE sql AS
                 'INSERT INTO account VALUES (name, secret)';
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("helpers");
    client.batch_execute("CREATE DATABASE legacy").expect("a database");
    client.batch_execute("SET scram.min_iterations = 1").expect("to make one with less");
    for Seed { sql, .. } in SEEDS.iter().filter(|seed| !seed.sql.is_empty()) {
        client
            .batch_execute(&format!("SELECT {sql}"))
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }
    client
        .batch_execute("INSERT INTO scram.wordlist VALUES ('dragon'), ('letmein');
             INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_never_expires', 'notice'), ('login_without_password', 'notice')")
        .expect("words");
    client.batch_execute("RESET scram.min_iterations").expect("the default");
}

/// The same as `audit()` shows it: a finding on one row of a source has the row's name.
fn live(stored: &BTreeSet<[String; 3]>) -> BTreeSet<[String; 3]> {
    let names =
        [("unknown rows", "weak"), ("bcrypt rows", "hunter"), ("scram-sha-512 rows", "hashed")];
    let mut found = stored.clone();
    for [source, subject, check] in stored {
        let name = names.iter().find(|(stored, _)| stored == subject);
        if let Some((_, name)) = name {
            found.remove(&[source.clone(), subject.clone(), check.clone()]);
            found.insert([source, *name, check].map(str::to_owned));
        }
    }
    found
}

fn found(client: &mut Client, relation: &str) -> BTreeSet<[String; 3]> {
    let status = if relation == "scram.audit_finding" { "WHERE status = 'open'" } else { "" };
    // The place of a rule is no part of what is stored.
    let sql = format!(
        "SELECT source, regexp_replace(subject, ', pg_hba.conf:[0-9]+$', ''), check_id FROM {relation} {status}"
    );
    let mut found = BTreeSet::new();
    for row in rows(client, &sql) {
        let row: Vec<_> = row.into_iter().flatten().collect();
        let row = <[String; 3]>::try_from(row).expect("three values");
        assert!(found.insert(row.clone()), "twice: {row:?}");
    }
    found
}
