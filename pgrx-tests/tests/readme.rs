//! The README is right: every SQL block of it runs, in order, on one server, and its tables of
//! checks and settings are the extension's.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use scram_ext_client_tests::{Cluster, rows};

#[test]
fn the_readme_runs() {
    let script = sql_blocks(&readme());

    // As the README asks for, where it speaks of schedules.
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
        .start();
    // One session, as a reader would have it.
    cluster.psql_script(&script);
}

#[test]
fn the_readme_lists_every_check_and_setting() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();

    let checks = "SELECT check_id, severity, title FROM scram.audit_checks()";
    let checks: Vec<Vec<_>> = rows(&mut client, checks)
        .into_iter()
        .map(|row| row.into_iter().flatten().collect())
        .collect();
    assert_eq!(table(&readme(), "| check | severity |"), checks);

    let settings: Vec<Vec<_>> = table(&readme(), "| setting | default |");
    let listed: BTreeSet<_> = settings.iter().map(|row| row[0].clone()).collect();
    client.batch_execute("LOAD 'scram_ext'").expect("the library");
    let known = "SELECT name FROM pg_settings WHERE name LIKE 'scram.%'";
    let known: BTreeSet<_> = rows(&mut client, known).into_iter().flatten().flatten().collect();
    assert_eq!(listed, known);
}

fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    fs::read_to_string(path).expect("README.md")
}

/// The rows of the table whose heading begins so, without the code marks.
fn table(text: &str, heading: &str) -> Vec<Vec<String>> {
    let lines = text.lines().skip_while(|line| !line.starts_with(heading));
    let cells = |line: &str| -> Vec<String> {
        line.trim_matches('|').split(" | ").map(|cell| cell.trim().replace('`', "")).collect()
    };
    let found: Vec<_> = lines.skip(2).take_while(|line| line.starts_with('|')).map(cells).collect();
    assert!(!found.is_empty(), "no table {heading}");
    found
}

/// What stands between "```sql" and the next "```"; every other line is left empty, so that psql's
/// line numbers are the README's.
fn sql_blocks(text: &str) -> String {
    let mut script = String::new();
    let mut blocks = 0;
    let mut inside = false;
    for line in text.lines() {
        match line.trim_end() {
            "```sql" if !inside => {
                inside = true;
                blocks += 1;
            }
            "```" => inside = false,
            line if inside => script.push_str(line),
            _ => {}
        }
        script.push('\n');
    }
    assert!(blocks >= 3, "only {blocks} SQL blocks: is the README read as it should be?");
    script
}
