//! `scram.migration_plan()`: each command is run as it is printed, and each role can log in after each one.

use std::fs;
use std::process::Command;

use postgres::Client;
use postgres::error::SqlState;
use scram_ext_client_tests::{Cluster, cell, rows, until};

/// Step, done, subject, action, reason, command.
fn plan(client: &mut Client) -> Vec<Vec<String>> {
    let plan = rows(client, "SELECT * FROM scram.migration_plan()");
    plan.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
}

fn open_rows(plan: &[Vec<String>]) -> Vec<&Vec<String>> {
    plan.iter().filter(|row| row[1] == "f").collect()
}

/// Runs a command of the plan in psql, or in a shell if it is one for it. Returns what it prints.
fn run(cluster: &Cluster, command: &str) -> String {
    if command.starts_with("sed ") {
        let output = Command::new("sh").args(["-c", command]).output().expect("a shell");
        assert!(output.status.success(), "{command}: {output:?}");
        return String::new();
    }
    // psql would take several statements of one -c for one transaction.
    let statements: Vec<&str> = command.split('\n').collect();
    let arguments: Vec<&str> = statements.iter().flat_map(|statement| ["-c", statement]).collect();
    let output = cluster.psql(&arguments);
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[test]
fn the_whole_plan_locks_no_role_out() {
    let cluster = Cluster::builder()
        .conf("password_encryption = 'md5'")
        // A thousand logins take their time.
        .conf("scram.min_iterations = 1")
        .conf("scram.default_iterations = 1")
        .hba("local all postgres trust")
        .hba("host all +md5 127.0.0.1/32 md5 # not md5")
        .hba("host md5,postgres \\\n  app1,\"app 2\" 127.0.0.1 255.255.255.255 \\\n  \"md5\"")
        .hba("host all app20 all\tmd5")
        .hba("host all all 127.0.0.1/32 md5")
        .hba("local all all reject")
        .start();
    let mut admin = cluster.client();
    for statement in ["CREATE EXTENSION scram_ext", "CREATE ROLE md5", "CREATE DATABASE md5"] {
        admin.batch_execute(statement).expect(statement);
    }
    // Names, as a cluster has them, with their passwords.
    let mut passwords: Vec<(String, String)> = Vec::new();
    for number in 0..30 {
        let name = match number {
            2 => "app 2".to_owned(),
            3 => "it's \"odd\"".to_owned(),
            4 => r"back\slash".to_owned(),
            _ => format!("app{number}"),
        };
        let group = if number % 7 == 0 { "IN ROLE md5" } else { "" };
        let encryption = if number % 5 == 0 { "scram-sha-256" } else { "md5" };
        let password = format!("Xq8-{number}");
        admin
            .batch_execute(&format!(
                "SET password_encryption = '{encryption}';
                 CREATE ROLE \"{}\" LOGIN PASSWORD '{password}' {group}",
                name.replace('"', "\"\"")
            ))
            .expect("a role");
        passwords.push((name, password));
    }
    admin
        .batch_execute(
            "RESET password_encryption;
             ALTER ROLE app7 SET password_encryption = 'md5';
             ALTER ROLE app8 IN DATABASE md5 SET password_encryption = 'md5';
             ALTER DATABASE md5 SET password_encryption = 'md5';
             COMMENT ON ROLE app9 IS 'the shop: ask Ann.'",
        )
        .expect("settings");
    let all_open = |passwords: &[(String, String)], after: &str| {
        for (name, password) in passwords {
            let login = cluster.login(name, password.as_bytes());
            assert!(login.is_ok(), "{name} after {after}: {:?}", login.err());
        }
    };
    all_open(&passwords, "the start");

    let mut commands = 0;
    for _ in 0..100 {
        let now = plan(&mut admin);
        let open = open_rows(&now);
        // Rows that stand for a whole step come first; their command only shows what is left.
        let shows = |row: &&&Vec<String>| {
            ["SELECT rolname", "SELECT line_number", "SELECT setdatabase"]
                .iter()
                .any(|listing| row[5].starts_with(listing))
        };
        let Some(row) = open.iter().find(|row| !shows(row) && row[0] != "5").copied().cloned()
        else {
            break;
        };
        let printed = run(&cluster, &row[5]);
        if row[5].contains("rotate_role") {
            let role = passwords.iter_mut().find(|(name, _)| *name == row[2]).expect("a role");
            role.1 = printed;
        }
        commands += 1;
        all_open(&passwords, &row[5]);
        // The row is done, or gone.
        let then = plan(&mut admin);
        let still =
            then.iter().filter(|other| other[1] == "f" && other[5] == row[5] && other[2] == row[2]);
        assert_eq!(still.count(), 0, "{row:?}\n{then:#?}");
    }
    let end = plan(&mut admin);
    assert_eq!(open_rows(&end), Vec::<&Vec<String>>::new(), "{end:#?}");
    assert_eq!(
        end.last().expect("a row")[3],
        "nothing is left to do: no stored password is an MD5 hash, and no rule has method md5"
    );
    // 24 roles, 3 settings, 4 rules, the server's setting, and a reload.
    assert_eq!(commands, 24 + 3 + 4 + 1 + 1, "{end:#?}");
    for row in &end {
        run(&cluster, &row[5]);
    }
    let hba = fs::read_to_string(cluster.dir().join("data/pg_hba.conf")).expect("pg_hba.conf");
    assert!(hba.contains("host all +md5 127.0.0.1/32 scram-sha-256 # not md5"), "{hba}");
    assert!(
        hba.contains(
            "host md5,postgres \\\n  app1,\"app 2\" 127.0.0.1 255.255.255.255 \\\n  scram-sha-256"
        ),
        "{hba}"
    );
}

/// A row tells who to ask, and the plan shows no hash.
#[test]
fn rows_tell_about_roles() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "SET scram.password_history = 3;
             CREATE ROLE ann LOGIN; CREATE ROLE off; CREATE ROLE late LOGIN VALID UNTIL '2001-01-01';
             SELECT scram.set_role_password('ann', 'Xq8-first');
             SET password_encryption = 'md5';
             ALTER ROLE ann PASSWORD 'Xq8-secret'; ALTER ROLE off PASSWORD 'Xq8-secret'; ALTER ROLE late PASSWORD 'Xq8-secret';
             COMMENT ON ROLE ann IS 'the shop: ask Bob.'",
        )
        .expect("roles");
    let found = plan(&mut admin);
    let reason = |role: &str| {
        let row =
            found.iter().find(|row| row[2] == role).unwrap_or_else(|| panic!("{role}: {found:#?}"));
        (row[0].clone(), row[4].clone(), row[5].clone())
    };
    let (step, why, command) = reason("ann");
    assert_eq!((&*step, &*command), ("2", "SELECT scram.rotate_role('ann');"));
    assert!(
        why.starts_with(
            "Comment: the shop: ask Bob. Last password change that scram.password_history knows: 20"
        ),
        "{why}"
    );
    let off = "The role cannot log in now. Rules with method md5 let the role in before and after.";
    assert_eq!(reason("off").1, off);
    assert_eq!(reason("pg_hba.conf").1, "No rule has method md5.");
    assert!(reason("late").1.starts_with("The password has expired."));
    let text = format!("{found:?}");
    assert!(!text.contains("Xq8") && !text.contains("SCRAM-SHA-256$"), "{text}");
    assert!(!text.contains("md5a") && !text.contains("md51"), "{text}");
}

#[test]
fn it_is_closed_and_its_rights_are_its_own() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE ROLE plain LOGIN; CREATE ROLE dba LOGIN; GRANT EXECUTE ON FUNCTION scram.migration_plan() TO dba").expect("roles");
    let error =
        cluster.client_as("plain", "postgres").simple_query("SELECT * FROM scram.migration_plan()");
    assert_eq!(error.expect_err("no right").code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    let mut dba = cluster.client_as("dba", "postgres");
    dba.batch_execute(
        "CREATE TEMP TABLE pg_authid (rolname name, rolpassword text);
         SET password_encryption = 'md5'",
    )
    .expect("a table");
    let found = plan(&mut dba);
    assert_eq!(open_rows(&found), Vec::<&Vec<String>>::new(), "{found:#?}");
}

/// The rows of a later step say what they wait for, and the whole plan pasted into a shell changes no rule.
#[test]
fn rules_wait_for_passwords() {
    let rules = "local all all trust\nhost all all all md5\n";
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    cluster.reload_hba(&mut admin, rules);
    admin
        .batch_execute(
            "ALTER DATABASE postgres SET password_encryption = 'scram-sha-256';
             ALTER ROLE ALL SET password_encryption = 'md5';
             SET password_encryption = 'md5'; CREATE ROLE ann LOGIN PASSWORD 'Xq8-secret'",
        )
        .expect("a role");
    let found = plan(&mut admin);
    let row = |step: &str, subject: &str| {
        let found = found.iter().find(|row| row[0] == step && row[2] == subject);
        found.unwrap_or_else(|| panic!("{subject}")).clone()
    };
    let server = row("1", "server");
    assert_eq!(&*server[1], "f", "{server:?}");
    assert!(server[4].ends_with("1 settings of roles and databases differ."), "{server:?}");
    assert!(run(&cluster, &server[5]).contains("password_encryption=md5"), "{server:?}");
    assert_eq!(row("1", "all roles")[5], "ALTER ROLE ALL RESET password_encryption;");
    assert!(row("2", "ann")[4].contains("Wait for step 1 with \\password"), "{found:#?}");
    let rule = row("3", "pg_hba.conf:2");
    assert_eq!(rule[3], "wait for step 2, then change this rule");
    assert!(
        rule[5].starts_with("# Wait for step 2: 1 stored passwords are MD5 hashes"),
        "{rule:?}"
    );
    let shell = Command::new("sh").args(["-c", &rule[5]]).output().expect("a shell");
    assert!(shell.status.success(), "{shell:?}");
    let file = cluster.dir().join("data/pg_hba.conf");
    assert_eq!(fs::read_to_string(&file).expect("pg_hba.conf"), rules);

    admin.batch_execute("ALTER ROLE ann PASSWORD NULL; ALTER ROLE ALL RESET ALL").expect("the end");
    let found = plan(&mut admin);
    let commands: Vec<_> = found.iter().filter(|row| row[1] == "f").map(|row| &*row[5]).collect();
    assert!(commands.iter().any(|command| command.starts_with("sed ")), "{found:#?}");
    assert_eq!(open_rows(&found)[0][0], "3", "{found:#?}");
}

/// A file that cannot be opened is a row, not an error.
#[test]
fn a_missing_file_is_not_done() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let file = cluster.dir().join("data/pg_hba.conf");
    let text = fs::read(&file).expect("pg_hba.conf");
    fs::remove_file(&file).expect("pg_hba.conf");
    let found = plan(&mut admin);
    let open: Vec<_> = open_rows(&found).into_iter().map(|row| &*row[0]).collect();
    assert_eq!(open, ["3", "4", "5"], "{found:#?}");
    let reason = &found.iter().find(|row| row[0] == "3").expect("a row")[4];
    assert!(reason.contains("No such file or directory"), "{reason}");
    for row in &found {
        run(&cluster, &row[5]);
    }
    fs::create_dir(&file).expect("a folder");
    let found = plan(&mut admin);
    let open: Vec<_> = open_rows(&found).into_iter().map(|row| &*row[0]).collect();
    assert_eq!(open[0], "3", "{found:#?}");
    fs::remove_dir(&file).expect("a folder");
    cluster.reload_hba(&mut admin, &String::from_utf8(text).expect("text"));
}

/// A session takes a reload when it runs its next command, so that its own time of loading can be later than a change
/// of the file that the server has not loaded.
#[test]
fn a_session_says_whose_time_it_knows() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let reason = |client: &mut Client| {
        let found = plan(client);
        found.iter().find(|row| row[0] == "4").expect("a row")[4].clone()
    };
    let of_server = "The server has loaded the file after its last change.";
    assert_eq!(reason(&mut admin), of_server);
    cluster.reload_hba(&mut admin, "local all all trust\n");
    until("the session has reloaded", || {
        let own = "SELECT pg_conf_load_time() > backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()";
        (cell(&mut admin, own)? == "t").then_some(())
    });
    assert!(reason(&mut admin).starts_with("This session has read the configuration"));
    assert_eq!(reason(&mut cluster.client()), of_server);
}

/// The command of a rule changes its method and no other word.
#[test]
fn a_name_is_no_method() {
    let rules = [
        ("host md5 all 127.0.0.1/32 md5#x", "host md5 all 127.0.0.1/32 scram-sha-256#x"),
        ("host all md5 all md5 # a md5 b", "host all md5 all scram-sha-256 # a md5 b"),
        (
            "hostssl md5 all all md5 \\\n clientcert=verify-ca # md5",
            "hostssl md5 all all scram-sha-256 \\\n clientcert=verify-ca # md5",
        ),
        // It is not found, and stays.
        ("host md5 \"a#b\" all md5", "host md5 \"a#b\" all md5"),
    ];
    let mut cluster = Cluster::builder().hba("local all all trust");
    for (rule, _) in rules {
        cluster = cluster.hba(rule);
    }
    let cluster = cluster.start();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    let plan = plan(&mut admin);
    let commands: Vec<_> = plan.iter().filter(|row| row[5].starts_with("sed ")).collect();
    assert_eq!(commands.len(), rules.len(), "{plan:#?}");
    for row in commands {
        run(&cluster, &row[5]);
    }
    let hba = fs::read_to_string(cluster.dir().join("data/pg_hba.conf")).expect("pg_hba.conf");
    for (_, expected) in rules {
        assert!(hba.contains(expected), "{expected}\n{hba}");
    }
}

/// The server keeps the rules that it has, so that nothing about them is done.
#[test]
fn a_file_without_rules_is_not_done() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    cluster.reload_hba(&mut admin, "# none\n");
    let plan = plan(&mut admin);
    let open: Vec<_> = open_rows(&plan).into_iter().map(|row| &*row[0]).collect();
    assert_eq!(open, ["3", "4", "5"], "{plan:#?}");
}

/// A file that was written before the last reload and moved to its place after it is not loaded.
#[test]
fn a_file_that_was_moved_is_not_loaded() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    let (new, hba) = (cluster.dir().join("data/new.conf"), cluster.dir().join("data/pg_hba.conf"));
    fs::write(&new, "local all all trust\n").expect("a file");
    let loaded = cell(&mut admin, "SELECT pg_conf_load_time()").expect("a time");
    cluster.reload_hba(&mut admin, "local all all trust\nhost all all all md5\n");
    // Each session takes a reload, and its time, by itself. pg_stat_file() tells times in seconds.
    let is_past = format!(
        "SELECT pg_conf_load_time() > '{loaded}' AND clock_timestamp() > pg_conf_load_time() + interval '1.1 s'"
    );
    until("the reload is past", || (cell(&mut admin, &is_past)? == "t").then_some(()));
    fs::rename(new, hba).expect("a move");
    let plan = plan(&mut admin);
    let open: Vec<_> = open_rows(&plan).into_iter().map(|row| &*row[0]).collect();
    assert_eq!(open, ["4", "5"], "{plan:#?}");
    let known =
        rows(&mut admin, "SELECT ok::text FROM scram.explain_login('postgres') WHERE step = 8");
    assert_eq!(known, [[None]]);
}

/// The function's text is parsed with the caller's settings.
#[test]
fn the_callers_syntax_of_literals_does_not_matter() {
    let cluster = Cluster::builder().hba("local all all trust").hba("host all all all md5").start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext; SET password_encryption = 'md5';
             CREATE ROLE ann LOGIN PASSWORD 'Xq8-secret'; RESET password_encryption",
        )
        .expect("a role");
    let expected = plan(&mut admin);
    let mut other = cluster.client();
    other.batch_execute("SET standard_conforming_strings = off").expect("a setting");
    assert_eq!(plan(&mut other), expected);
}
