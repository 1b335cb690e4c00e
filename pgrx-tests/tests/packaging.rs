//! What is shipped: the symbols of the library, and what the image runs.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use scram_ext_client_tests::versions::pg_config;
use scram_ext_client_tests::{Cluster, cell, docs, rows};

/// Every symbol can collide with one of another library in the same process.
#[test]
fn the_library_exports_what_postgresql_looks_up() {
    let library = format!("{}/scram_ext.so", pg_config("--pkglibdir"));
    let output = Command::new("nm").args(["-D", "--defined-only", &library]).output().expect("nm");
    let output = String::from_utf8(output.stdout).expect("text");
    let exported: BTreeSet<_> =
        output.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect();

    let cluster = Cluster::with_extension();
    let functions = "SELECT prosrc FROM pg_proc WHERE probin = '$libdir/scram_ext'";
    let functions = rows(&mut cluster.client(), functions).into_iter().flatten().flatten();
    let mut known: BTreeSet<_> =
        functions.flat_map(|name| [format!("pg_finfo_{name}"), name]).collect();
    known.extend(["Pg_magic_func".to_owned(), "_PG_init".to_owned()]);
    assert_eq!(exported, known);
}

/// The settings of `docker-compose.yml` and the script that a new container runs.
#[test]
fn a_new_container_has_its_nightly_audit() {
    let compose = fs::read_to_string(docs::root().join("docker-compose.yml")).expect("the file");
    let settings =
        compose.lines().filter_map(|line| line.trim().strip_prefix("- ")?.split_once('='));
    let builder = settings.fold(Cluster::builder(), |builder, (name, value)| {
        builder.conf(&format!("{name} = '{value}'"))
    });
    let cluster = builder.start();
    cluster.client().batch_execute("CREATE DATABASE app").expect("POSTGRES_DB");
    let mut client = cluster.client_as("postgres", "app");
    let script = fs::read_to_string(docs::root().join("docker/schedule.sql")).expect("the script");
    client.batch_execute(&script).expect("the script");
    let job = "SELECT command || ' in ' || database FROM cron.job WHERE active";
    assert_eq!(cell(&mut client, job).as_deref(), Some("CALL scram.run_audit() in app"));
    let words = "SELECT count(*) >= 10000 FROM scram.wordlist";
    assert_eq!(cell(&mut client, words).as_deref(), Some("t"));
    client.batch_execute("CALL scram.run_audit('1 s')").expect("a run");
}
