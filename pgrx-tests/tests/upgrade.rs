//! Upgrades from each released version, with the current library: what is stored stays, and the catalog is
//! that of a fresh installation.
//!
//! `tools/freeze.sh` puts the script of a release into `sql/`. `UPGRADE_FROM` names a version more, whose
//! scripts are in the server's folder of extensions.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, thread};

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, Run, cell, docs, rows, until};

/// Members with all that a script can get wrong; [`MORE`] has what that query leaves out.
const CATALOG: &str = include_str!("catalog.sql");
const MORE: &[&str] = &[
    "SELECT p.oid::regprocedure::text || coalesce(p.prosrc, '') || coalesce(pg_get_function_sqlbody(p.oid), '')
     FROM pg_proc p WHERE p.pronamespace IN ('scram'::regnamespace, 'scram_internal'::regnamespace) ORDER BY 1",
    "SELECT p.oid::regprocedure || ' ' || p.procost || ' ' || p.prorows
     FROM pg_proc p WHERE p.pronamespace IN ('scram'::regnamespace, 'scram_internal'::regnamespace) ORDER BY 1",
    "SELECT c.oid::regclass || ' ' || c.relpersistence::text || ' ' || coalesce(array_to_string(c.reloptions, ','), '')
     FROM pg_class c WHERE c.relnamespace IN ('scram'::regnamespace, 'scram_internal'::regnamespace) ORDER BY 1",
    "SELECT c.oid::regclass || ' ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' '
         || coalesce(col_description(c.oid, a.attnum), '')
     FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE c.relnamespace IN ('scram'::regnamespace, 'scram_internal'::regnamespace) ORDER BY 1",
    "SELECT adrelid::regclass || ' ' || adnum || ' ' || pg_get_expr(adbin, adrelid) FROM pg_attrdef ORDER BY 1",
    "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint ORDER BY 1",
    "SELECT tgrelid::regclass || ' ' || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1",
    "SELECT viewname || definition FROM pg_views WHERE schemaname LIKE 'scram%' ORDER BY 1",
    "SELECT indexdef FROM pg_indexes WHERE schemaname LIKE 'scram%' ORDER BY 1",
    "SELECT unnest(extconfig)::regclass || ' ' || unnest(extcondition) FROM pg_extension ORDER BY 1",
    "SELECT extversion FROM pg_extension WHERE extname = 'scram_ext'",
];

/// What is stored, and must be there after the update.
const KEPT: &[&str] = &[
    "SELECT run_id, status, started_at FROM scram.audit_run ORDER BY 1",
    "SELECT finding_id, source, subject, check_id, status, note, accepted_until FROM scram.audit_finding ORDER BY 1",
    "SELECT check_id, subject, action, until, note FROM scram.audit_policy",
    "SELECT name, relation, registrant, client, expects, enabled FROM scram.audit_source ORDER BY 1",
    "SELECT word FROM scram.wordlist",
    "SELECT name, role_a, role_b, active_is_a, pending, changed_at FROM scram.rotation",
    "SELECT role_name, verifier, set_at FROM scram_internal.password_history",
];

const SEED: &str = "
CREATE ROLE ann LOGIN; CREATE ROLE bob LOGIN PASSWORD 'bob';
CREATE ROLE app; CREATE ROLE app_a LOGIN; CREATE ROLE app_b LOGIN; GRANT app TO app_a, app_b;
CREATE TABLE account (name text, secret scram.verifier, plain text);
INSERT INTO account VALUES ('cid', scram.generate('cid'), 'cid');
SELECT scram.add_audit_source('app', 'account', 'name', 'plain');
UPDATE scram.audit_source SET client = 'kafka';
INSERT INTO scram.audit_policy (check_id, subject, action, until, note) VALUES ('login_without_password', 'app%', 'off', '2100-01-01', 'known');
INSERT INTO scram.wordlist VALUES ('Zq8-word');
SET scram.password_history = 3;
SELECT scram.set_role_password('ann', 'Xq8-first');
RESET scram.password_history;
SELECT scram.create_rotation('pair', 'app', 'app_a', 'app_b');
";

#[test]
fn scripts_of_releases_never_change() {
    let sums = sql().join("SHA256SUMS");
    if released().is_empty() {
        assert!(!sums.exists(), "checksums of nothing");
        return;
    }
    let sums = fs::read_to_string(sums).expect("sql/SHA256SUMS");
    for version in released() {
        let script = format!("scram_ext--{version}.sql");
        let output =
            Command::new("sha256sum").arg(sql().join(&script)).output().expect("sha256sum");
        let sum = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
        assert!(sums.lines().any(|line| line == format!("{sum}  {script}")), "{script}: {sum}");
    }
}

#[test]
fn an_update_gives_a_fresh_installation_with_the_old_contents() {
    let current = current();
    let more = env::var("UPGRADE_FROM").ok();
    for from in released().into_iter().filter(|version| *version != current).chain(more) {
        let cluster = Cluster::start();
        let mut client = cluster.client();
        client.batch_execute("CREATE DATABASE fresh").expect("a database");
        let mut fresh = cluster.client_as("postgres", "fresh");
        fresh.batch_execute("CREATE EXTENSION scram_ext").expect("a fresh installation");

        let create = format!("CREATE EXTENSION scram_ext VERSION '{from}'");
        client.batch_execute(&create).expect("the old version");
        client.batch_execute(SEED).expect("contents");
        Run::call(&mut client);
        let accept = "SELECT scram.accept_finding(finding_id, '2100-01-01', 'known') FROM scram.audit_finding WHERE subject = 'bob'";
        client.batch_execute(accept).expect("accepted");
        Run::call(&mut client);
        let kept = all_rows(&mut client, KEPT);
        client.batch_execute("ALTER EXTENSION scram_ext UPDATE").expect("the update");
        assert_eq!(all_rows(&mut client, KEPT), kept, "from {from}");

        let queries = [&[CATALOG][..], MORE].concat();
        let (updated, fresh) = (all_rows(&mut client, &queries), all_rows(&mut fresh, &queries));
        for (updated, fresh) in updated.iter().zip(&fresh) {
            let missing: Vec<_> = fresh.iter().filter(|line| !updated.contains(line)).collect();
            let extra: Vec<_> = updated.iter().filter(|line| !fresh.contains(line)).collect();
            assert!(missing.is_empty() && extra.is_empty(), "from {from}: {missing:#?} {extra:#?}");
        }
        let run = Run::call(&mut client);
        assert_eq!((&*run.status, run.new), ("done", 0), "from {from}: {run:?}");
        let accepted = "SELECT count(*) FROM scram.audit_finding WHERE status = 'accepted'";
        assert_ne!(cell(&mut client, accepted).as_deref(), Some("0"));

        // There is no way back.
        let back = format!("ALTER EXTENSION scram_ext UPDATE TO '{from}'");
        let raised = Raised::by(&mut client, &back);
        assert_eq!(raised.code, "22023", "{raised:?}");
    }
}

/// A step and the update lock the same tables. The step is held where it has locked some of those that the update changes.
#[test]
fn an_update_waits_for_the_step_of_a_run() {
    let current = current();
    for from in released().into_iter().filter(|version| *version != current) {
        let cluster = Cluster::start();
        let mut client = cluster.client();
        let create = format!("CREATE EXTENSION scram_ext VERSION '{from}'");
        client.batch_execute(&create).expect("the old version");
        client.batch_execute("BEGIN; LOCK scram_internal.source_slice").expect("a lock");
        let mut waits_for = |waiting: &str| {
            let locks = "SELECT count(*) FROM pg_locks WHERE NOT granted";
            until("a session waits", || (cell(&mut client, locks)? == waiting).then_some(()));
        };
        let mut auditor = cluster.client();
        let run = thread::spawn(move || auditor.batch_execute("CALL scram.run_audit()"));
        waits_for("1");
        let mut admin = cluster.client();
        let update = thread::spawn(move || admin.batch_execute("ALTER EXTENSION scram_ext UPDATE"));
        waits_for("2");
        client.batch_execute("ROLLBACK").expect("the lock is gone");
        run.join().expect("the thread").expect("the run");
        update.join().expect("the thread").expect("the update");
        assert_eq!(Run::all(&mut client).pop().expect("a run").status, "done", "from {from}");
    }
}

/// The rows of each query.
fn all_rows(client: &mut Client, queries: &[&str]) -> Vec<Vec<Vec<Option<String>>>> {
    queries.iter().map(|sql| rows(client, sql)).collect()
}

/// Versions whose script is in `sql/`.
fn released() -> Vec<String> {
    let files = fs::read_dir(sql()).expect("sql/");
    let names = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let versions = names.filter_map(|name| {
        let version = name.strip_prefix("scram_ext--")?.strip_suffix(".sql")?;
        (!version.contains("--")).then(|| version.to_owned())
    });
    versions.collect()
}

fn current() -> String {
    let manifest = fs::read_to_string(docs::root().join("Cargo.toml")).expect("Cargo.toml");
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = "));
    version.expect("a version").trim_matches('"').to_owned()
}

fn sql() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../sql")
}
