//! Every SQL block of the README runs, in order, on one server.

use std::fs;
use std::path::Path;

use scram_ext_client_tests::Cluster;

#[test]
fn the_readme_runs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(path).expect("README.md");
    let script = sql_blocks(&readme);

    // As the README asks for, where it speaks of schedules.
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
        .start();
    // One session, as a reader would have it.
    cluster.psql_script(&script);
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
