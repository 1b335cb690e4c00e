//! The pages are right: each SQL block runs, psql prints the output that follows a block, tables and
//! headings are the extension's, and links lead to something.

use std::collections::BTreeSet;
use std::fs;

use scram_ext_client_tests::docs::{self, Block};
use scram_ext_client_tests::{Cluster, Feature, Run, cell, fixtures, rows};

macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        /// Every page with SQL blocks. Each runs on a server of its own.
        const PAGES: &[&str] = &[$($page),*];

        $(
            #[test]
            fn $test() {
                assert_runs($page);
            }
        )*
    };
}

pages! {
    readme_runs: "README.md",
    audit_runs: "docs/audit.md",
    checks_run: "docs/checks.md",
    formats_run: "docs/formats.md",
    fleet_runs: "docs/fleet.md",
    gateway_runs: "docs/gateway.md",
    guard_runs: "docs/guard.md",
    handshake_runs: "docs/handshake.md",
    install_runs: "docs/install.md",
    login_runs: "docs/login.md",
    migrate_from_md5_runs: "docs/migrate-from-md5.md",
    pg_hba_runs: "docs/pg_hba.md",
    poolers_run: "docs/poolers.md",
    privileges_run: "docs/privileges.md",
    roles_run: "docs/roles.md",
    rotation_runs: "docs/rotation.md",
    settings_run: "docs/settings.md",
    upgrade_runs: "docs/upgrade.md",
    verifiers_run: "docs/verifiers.md",
}

/// Where a line of this is printed, the output of the block at that line begins.
const MARK: &str = "@@ line ";

/// Runs the ```sql blocks of a page in one psql session, as a reader would, on a server that has the
/// extension, unless the page is the README, which creates it. An ```output block that follows a ```sql
/// block must be what psql prints for it. `UPDATE_EXPECTED=1` writes it there instead.
fn assert_runs(page: &str) {
    let text = docs::read(page);
    let blocks = docs::blocks(&text);
    // pg_cron is where the pages on schedules expect it.
    let mut builder = Cluster::builder()
        .conf("shared_preload_libraries = 'pg_cron'")
        .conf("cron.database_name = 'postgres'")
        .conf("scram.builtin_words = 1000");
    if Feature::Md5Warnings.is_there() {
        // The pages have the output of PostgreSQL 15.
        builder = builder.conf("md5_password_warnings = off");
    }
    let cluster = builder.start();
    if page != "README.md" {
        cluster.client().batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    }

    let file = cluster.dir().join("page.sql");
    fs::write(&file, script(&blocks)).expect("the script");
    let file = file.display().to_string();
    let aligned = ["-P", "format=aligned", "-P", "tuples_only=off"];
    let output = cluster.psql(&[&aligned[..], &["-v", "ON_ERROR_STOP=1", "-f", &file]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).replace(&format!("psql:{file}:"), "");
    let said = stderr.lines().filter(|line| !line.starts_with(MARK));
    assert!(output.status.success(), "{page}: {}", said.collect::<Vec<_>>().join("\n"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();

    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    // From the last block to the first, so that the numbers of the lines above stay right.
    for (sql, expected) in pairs(&blocks).collect::<Vec<_>>().into_iter().rev() {
        let printed = [printed(&stderr, sql), printed(&stdout, sql)].concat().join("\n");
        let printed = printed.trim_matches('\n');
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            let length = expected.text.lines().count();
            lines.splice(expected.line..expected.line + length, [printed.to_owned()]);
        } else {
            assert_eq!(printed, expected.text.trim_end(), "{page}, line {}", expected.line);
        }
    }
    let updated = lines.join("\n") + "\n";
    if updated != text {
        fs::write(docs::root().join(page), updated).expect("the page");
    }
}

/// The SQL blocks that are followed by their output.
fn pairs(blocks: &[Block]) -> impl Iterator<Item = (&Block, &Block)> {
    blocks.windows(2).filter_map(|pair| match pair {
        [sql, output] if output.language == "output" => {
            let follows = sql.language == "sql" && output.follows_a_block;
            assert!(follows, "line {}: output of nothing", output.line);
            Some((sql, output))
        }
        _ => None,
    })
}

/// The SQL blocks, each line with the number that it has in the page. The line of the fence prints a mark.
fn script(blocks: &[Block]) -> String {
    let fails: Vec<_> = pairs(blocks)
        .filter(|(_, output)| output.text.contains("ERROR:"))
        .map(|(sql, _)| sql.line)
        .collect();
    let mut script = String::new();
    let sql: Vec<_> = blocks.iter().filter(|block| block.language == "sql").collect();
    assert!(!sql.is_empty(), "no SQL: is the page read correctly?");
    for block in sql {
        let lines = script.lines().count();
        script.push_str(&"\n".repeat(block.line - 1 - lines));
        let stop = if fails.contains(&block.line) { "off" } else { "on" };
        script.push_str(&format!(
            "\\set ON_ERROR_STOP {stop} \\\\ \\echo '{MARK}{line}' \\\\ \\warn '{MARK}{line}'\n{text}",
            line = block.line,
            text = block.text
        ));
    }
    script
}

/// The lines that psql printed for a block, without the numbers of lines in front of messages.
fn printed(output: &str, block: &Block) -> Vec<String> {
    let mark = format!("{MARK}{}", block.line);
    let lines = output.lines().skip_while(|line| *line != mark).skip(1);
    let without_number = |line: &str| match line.split_once(": ") {
        Some((number, message)) if number.bytes().all(|byte| byte.is_ascii_digit()) => {
            message.trim_end().to_owned()
        }
        _ => line.trim_end().to_owned(),
    };
    lines.take_while(|line| !line.starts_with(MARK)).map(without_number).collect()
}

#[test]
fn every_page_with_sql_is_run() {
    let with_sql = docs::pages_of("docs").into_iter().chain(["README.md".to_owned()]);
    let with_sql: BTreeSet<_> = with_sql
        .filter(|page| docs::blocks(&docs::read(page)).iter().any(|block| block.language == "sql"))
        .collect();
    let run: BTreeSet<_> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(with_sql, run);
}

#[test]
fn the_readme_has_at_most_250_lines() {
    let lines = docs::read("README.md").lines().count();
    assert!(lines <= 250, "README.md has {lines} lines");
}

/// The README shows the beginning of a real report. `UPDATE_EXPECTED=1` writes it there instead.
#[test]
fn the_readme_shows_a_real_report() {
    let cluster = Cluster::builder()
        .conf("cluster_name = '15/main'")
        .conf("scram.builtin_words = 1000")
        .start();
    cluster.client().batch_execute("CREATE DATABASE app").expect("a database");
    let mut client = cluster.client_as("postgres", "app");
    client.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    client.batch_execute(&[fixtures::ROLES, REPORTED].concat()).expect("the roles");
    Run::call(&mut client);
    client.batch_execute(CHANGED).expect("changes");
    Run::call(&mut client);
    client.batch_execute(AS_OF).expect("times");
    let report = cell(&mut client, "SELECT scram.audit_report('text')").expect("a report");
    // The summary and the critical findings.
    let next = ["\nWARNING (", "\nNOTICE ("].iter().filter_map(|heading| report.find(heading));
    let beginning = report[..next.min().expect("another section")].trim_end();

    let page = docs::read("README.md");
    let shown = docs::block("README.md", "text", "Password audit");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let page = page.replace(&shown, &format!("{beginning}\n"));
        fs::write(docs::root().join("README.md"), page).expect("the page");
    } else {
        assert_eq!(beginning, shown.trim_end());
    }
}

/// Roles of a server whose owner has begun to clean up.
const REPORTED: &str = r"
SELECT pg_temp.make_role('web_' || i, scram.generate(pg_temp.password()), now() + interval '1 year') FROM generate_series(1, 40) i;
SELECT pg_temp.make_role('etl', 'md5' || md5(pg_temp.password() || 'etl'), now() + interval '1 year');
SELECT pg_temp.make_role('shop', scram.generate('shop123'), now() + interval '1 year');
SELECT pg_temp.make_role('contractor', scram.generate(pg_temp.password()), '2024-06-30');
";

/// Between the two runs.
const CHANGED: &str = r"
SELECT scram.accept_finding(finding_id, '2027-06-30', 'the socket is open to administrators only')
FROM scram.audit_finding WHERE check_id = 'hba_trust';
ALTER ROLE etl PASSWORD 'X7-a-long-password';
SELECT pg_temp.make_role('billing', 'md5' || md5(pg_temp.password() || 'billing'), now() + interval '1 year');
";

/// The parts of a report that differ from day to day, from host to host, and with the predefined roles
/// of a major version.
const AS_OF: &str = r"
UPDATE scram.audit_run SET started_at = '2026-11-21 03:17:04+00', finished_at = '2026-11-21 03:17:06.5+00' WHERE run_id = 1;
UPDATE scram.audit_run SET started_at = '2026-11-22 03:17:04+00', finished_at = '2026-11-22 03:17:06.5+00',
    candidates_tested = 1204, subjects = 57 WHERE run_id = 2;
UPDATE scram.audit_census SET subjects = 14 WHERE run_id = 2 AND kind = 'none';
";

#[test]
fn the_page_on_checks_has_each_check_in_order() {
    let cluster = Cluster::with_extension();
    let checks = "SELECT check_id, severity, title FROM scram.audit_checks()";
    let checks: Vec<Vec<_>> = rows(&mut cluster.client(), checks)
        .into_iter()
        .map(|row| row.into_iter().flatten().collect())
        .collect();

    let page = docs::read("docs/checks.md");
    let linked = |mut row: Vec<String>| {
        let id = row[0].split_once(']').map(|(id, _)| id.trim_start_matches('[').to_owned());
        row[0] = id.unwrap_or_else(|| panic!("no link: {}", row[0]));
        row
    };
    let table: Vec<_> =
        docs::table(&page, "| check | severity | title |").into_iter().map(linked).collect();
    assert_eq!(table, checks);

    let headings: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let ids: Vec<_> = checks.iter().map(|check| format!("`{}`", check[0])).collect();
    assert_eq!(headings, ids);
}

#[test]
fn the_page_on_checks_shows_real_evidence() {
    let cluster = Cluster::builder()
        .hba("local all postgres trust")
        .hba("local all all scram-sha-256")
        .hba("host all billing 10.0.0.0/8 md5")
        .hba("host all reports 192.168.0.0/16 password")
        .conf("session_preload_libraries = 'scram_ext'")
        .conf("password_encryption = 'md5'")
        .conf("log_statement = 'ddl'")
        .conf("scram.min_iterations = 10000")
        .conf("scram.max_password_age = '90 d'")
        .conf("scram.expiry_warning = '36500 d'")
        .start();
    cluster.psql_script(&[fixtures::ROLES, EVIDENCE].concat());
    let findings = "SELECT check_id, subject || ': ' || evidence FROM scram.audit_finding";
    let findings: BTreeSet<_> = rows(&mut cluster.client(), findings).into_iter().collect();

    let page = docs::read("docs/checks.md");
    for section in page.split("\n## `").skip(1) {
        let id = section.split('`').next().expect("an id");
        let blocks = docs::blocks(section);
        let example = blocks.iter().find(|block| block.language == "text").expect("an example");
        let example = example.text.trim_end();
        let found = findings.contains(&vec![Some(id.to_owned()), Some(example.to_owned())]);
        assert!(found, "{id}: {example}\nis not among\n{findings:#?}");
    }
}

/// A server on which each check finds something.
const EVIDENCE: &str = r"
CREATE EXTENSION scram_ext;
INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_never_expires', 'notice'), ('login_without_password', 'notice');
SET scram.min_iterations = 1;
SELECT FROM (VALUES
    ('nightly', 'md5' || md5('nightly')),
    ('shop', scram.generate('SHOP', 1)),
    ('intern', scram.generate('football', 1)),
    ('billing', 'md5' || md5(pg_temp.password() || 'billing')),
    ('legacy', 'md5' || md5(pg_temp.password() || 'legacy')),
    ('import', left(scram.generate(pg_temp.password()), 80)),
    ('lenient', replace(scram.generate(pg_temp.password(), 4096), '$4096:', '$ 4096:')),
    ('backup', scram.generate(pg_temp.password(), 1000)),
    ('etl', scram.generate(pg_temp.password(), 200000)),
    ('web', scram.generate(pg_temp.password(), 20000)),
    ('short', scram.generate(pg_temp.password(), 1, '\x0011223344556677')),
    ('puppet', scram.generate(pg_temp.password(), 1, 'puppet')),
    ('node_1', scram.generate(pg_temp.password(), 1, '\x00112233445566778899aabbccddeeff')),
    ('node_2', scram.generate(pg_temp.password(), 1, '\x00112233445566778899aabbccddeeff')),
    ('blue', 'SCRAM-SHA-256$1:AAECAwQFBgcICQoLDA0ODw==$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE='),
    ('green', 'SCRAM-SHA-256$1:AAECAwQFBgcICQoLDA0ODw==$zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE='),
    ('reports', scram.generate(pg_temp.password(), 1)),
    ('reporting', NULL),
    ('monitor', NULL),
    ('old_group', scram.generate(pg_temp.password(), 1)),
    ('contractor', scram.generate(pg_temp.password(), 1)),
    ('student', scram.generate(pg_temp.password(), 1))
) role (name, secret), pg_temp.make_role(role.name, role.secret);
RESET scram.min_iterations;
SET TimeZone = 'UTC';
ALTER ROLE shop SET password_encryption = 'md5';
ALTER ROLE old_group NOLOGIN;
ALTER ROLE contractor VALID UNTIL '2024-06-30';
ALTER ROLE student VALID UNTIL '2040-01-31';
GRANT pg_read_all_data TO monitor;
CREATE TABLE account (name text, secret text);
INSERT INTO account VALUES ('eve', 'hunter2'), ('fay', md5('hunter2')),
    ('gus', '$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW');
SELECT scram.add_audit_source('accounts', 'account', 'name', 'secret');
UPDATE scram.audit_source SET expects = 'scram';
INSERT INTO scram.wordlist VALUES ('football');
CALL scram.run_audit();
DROP TABLE account;
-- An edit that is never loaded.
CREATE TABLE pg_temp.hba AS
SELECT regexp_split_to_table(rtrim(pg_read_file(current_setting('hba_file')), E'\n'), E'\n') AS line;
INSERT INTO pg_temp.hba VALUES ('host all all db.example.com/32 md5');
DO $$BEGIN EXECUTE format('COPY pg_temp.hba TO %L', current_setting('hba_file')); END$$;
UPDATE scram_internal.role_secret SET first_seen = '2026-05-10 12:50:08+00';
CALL scram.run_audit();
";

#[test]
fn the_page_on_settings_has_each_setting() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("LOAD 'scram_ext'").expect("the library");
    let known = "SELECT name FROM pg_settings WHERE name LIKE 'scram.%'";
    let known: BTreeSet<_> = rows(&mut client, known).into_iter().flatten().flatten().collect();

    let settings = docs::table(&docs::read("docs/settings.md"), "| setting | default |");
    let listed: BTreeSet<_> = settings.iter().map(|row| row[0].clone()).collect();
    assert_eq!(listed, known);
}

#[test]
fn the_page_on_privileges_has_each_function() {
    let cluster = Cluster::with_extension();
    let known = "SELECT DISTINCT p.proname::text,
                        CASE WHEN has_function_privilege('public', p.oid, 'EXECUTE') THEN 'PUBLIC' ELSE 'owner only' END
                 FROM pg_proc p
                 WHERE p.pronamespace = 'scram'::regnamespace AND obj_description(p.oid, 'pg_proc') NOT LIKE 'internal%'";
    let known: BTreeSet<_> = rows(&mut cluster.client(), known)
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>())
        .collect();

    let table = docs::table(&docs::read("docs/privileges.md"), "| functions | at install |");
    let listed = table.iter().flat_map(|row| {
        row[0].split(", ").map(|function| vec![function.to_owned(), row[1].clone()])
    });
    assert_eq!(listed.collect::<BTreeSet<_>>(), known);
}
