//! Finds the places that a password given to a function leaks to, and checks that a verifier leaks
//! to none.
//!
//! Each channel is switched on alone, and each function is called in every possible way. The
//! results must equal the table in docs/logging.md.

use std::fs;
use std::path::Path;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Raised, cell, rows};

/// A way for a statement to get out of the session that sends it.
struct Channel {
    /// The name in the table of docs/logging.md.
    name: &'static str,
    settings: &'static [&'static str],
    /// Whether the password is seen there: as a literal, as a parameter, and the same of calls that
    /// fail.
    seen: [bool; 4],
}

const CHANNELS: &[Channel] = &[
    Channel { name: "nothing switched on", settings: &[], seen: [false; 4] },
    Channel {
        name: "`log_statement`",
        settings: &["log_statement = 'all'"],
        seen: [true, true, true, true],
    },
    Channel {
        name: "`log_min_duration_statement`",
        settings: &["log_min_duration_statement = 0"],
        // The message for binding the parameters comes before the call.
        seen: [true, true, false, true],
    },
    Channel {
        name: "`log_min_error_statement`",
        settings: &["log_min_error_statement = 'error'"],
        seen: [false; 4],
    },
    Channel {
        name: "`log_parameter_max_length_on_error`",
        settings: &["log_parameter_max_length_on_error = -1", "log_min_error_statement = 'error'"],
        seen: [false; 4],
    },
    Channel {
        name: "`auto_explain`, verbose and with nested statements",
        settings: &[
            "auto_explain.log_min_duration = 0",
            "auto_explain.log_nested_statements = on",
            "auto_explain.log_analyze = on",
            "auto_explain.log_verbose = on",
        ],
        // A plan that is made for the parameters shows them.
        seen: [true, true, false, false],
    },
    Channel {
        name: "`pgaudit.log`",
        settings: &["pgaudit.log = 'all'"],
        seen: [true, false, true, false],
    },
    Channel {
        name: "`pgaudit.log` with `pgaudit.log_parameter`",
        settings: &["pgaudit.log = 'all'", "pgaudit.log_parameter = on"],
        seen: [true, true, true, true],
    },
    Channel {
        name: "`debug_print_parse`, `debug_print_plan`",
        settings: &[
            "debug_print_parse = on",
            "debug_print_rewritten = on",
            "debug_print_plan = on",
        ],
        // Byte by byte, as numbers.
        seen: [true; 4],
    },
    Channel {
        name: "`log_min_messages` and `log_min_error_statement` at `debug5`",
        settings: &["log_min_messages = 'debug5'", "log_min_error_statement = 'debug5'"],
        // Messages from before and after the call, each with the statement.
        seen: [true, false, true, false],
    },
];

/// Results in places other than the log.
const STATISTICS: (&str, [bool; 4]) =
    ("`pg_stat_statements`, all statements and utility", [false; 4]);
const ACTIVITY: (&str, [bool; 4]) = ("`pg_stat_activity`", [false; 4]);
const CLIENT: (&str, [bool; 4]) = ("the error that the client gets", [false; 4]);

/// A call of a function, and one that fails. `{p}` is the password.
const CALLS: &[(&str, &str)] = &[
    (
        "SELECT * FROM scram.set_role_password('alice', {p})",
        "SELECT * FROM scram.set_role_password('alice', {p}, 1)",
    ),
    (
        "SELECT scram.verify_role('alice', {p})",
        "SELECT scram.verify_role('alice', {p} || repeat('x', 1048577))",
    ),
    (
        "SELECT * FROM scram.check_password('alice', {p})",
        "SELECT * FROM scram.check_password('alice', {p} || repeat('x', 1048577))",
    ),
    (
        "SELECT * FROM scram.change_own_password('mine', {p})",
        "SELECT * FROM scram.change_own_password({p}, 'mine')",
    ),
    (
        "SELECT * FROM scram.set_role_verifier('alice', {p})",
        "SELECT * FROM scram.set_role_verifier('alice', {p} || 'x')",
    ),
    // The server's own code fails.
    ("SELECT 1 WHERE {p} IS NULL", "SELECT * FROM scram.set_role_password('pg_monitor', {p})"),
    // Called by other code.
    ("SELECT set_by_function('alice', {p})", "SELECT set_by_function('nobody', {p})"),
];

const SETUP: &str = "
CREATE EXTENSION scram_ext; CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgaudit;
CREATE ROLE alice LOGIN; ALTER ROLE postgres PASSWORD 'mine';
CREATE FUNCTION set_by_function(role name, secret text) RETURNS text LANGUAGE plpgsql AS
    'DECLARE made text; BEGIN PERFORM scram.set_role_password(role, secret);
     made := scram.rotate_role(role); RETURN ''done''; END';
LOAD 'scram_ext'";

#[test]
fn only_the_callers_own_words_are_written_down() {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'pgaudit, pg_stat_statements, auto_explain'")
        .conf("pg_stat_statements.track = 'all'")
        .conf("pg_stat_statements.track_utility = on")
        .conf("log_min_error_statement = panic")
        .start();
    let mut quiet = cluster.client();
    quiet.batch_execute(SETUP).expect("the extensions");
    let mut wrong = Vec::new();
    let mut number = 0;
    for channel in CHANNELS {
        let mut client = cluster.client();
        client.batch_execute("LOAD 'scram_ext'; SET scram.password_history = 5").expect("settings");
        for setting in channel.settings {
            client.batch_execute(&format!("SET {setting}")).expect(setting);
        }
        for (good, failing) in CALLS {
            for (form, sql) in [good, good, failing, failing].into_iter().enumerate() {
                number += 1;
                let secret = secret(&mut quiet, sql, number);
                quiet.batch_execute("ALTER ROLE postgres PASSWORD 'mine'").expect("the old one");
                let before = cluster.log().len();
                let error = run(&mut client, sql, &secret, form % 2 == 1);
                let what = format!("{}: {sql}, form {form}", channel.name);
                assert_eq!(error.is_some(), form > 1, "{what}: {error:?}");

                let log = cluster.log().split_off(before);
                let statistics =
                    cell(&mut quiet, "SELECT string_agg(query, ';') FROM pg_stat_statements");
                let activity = "SELECT string_agg(query, ';') FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
                let activity = cell(&mut quiet, activity);
                let told = error.map(|error| error.texts().collect::<Vec<_>>().join("\n"));
                let places = [
                    (channel.name, Some(log), channel.seen),
                    (STATISTICS.0, statistics, STATISTICS.1),
                    (ACTIVITY.0, activity, ACTIVITY.1),
                    (CLIENT.0, told, CLIENT.1),
                ];
                let stored = stored_parts(&mut quiet);
                // The table leaves out statements that call no function of the extension; they
                // serve as a comparison.
                let counts = sql.contains("scram") || sql.contains("set_by_function");
                for (place, text, seen) in places.into_iter().filter(|_| counts) {
                    let text = Text::new(text);
                    let found = text.holds(secret.rsplit(['$', ':']).next().unwrap_or(&secret));
                    if found != seen[form] {
                        wrong.push(format!("{what}: {place}: found is {found}\n{}", text.plain));
                    }
                    for part in stored.iter().filter(|part| !secret.contains(part.as_str())) {
                        if text.holds(part) {
                            wrong.push(format!("{what}: {place}: a verifier\n{}", text.plain));
                        }
                    }
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} places\n{}",
        wrong.len(),
        wrong.iter().take(5).cloned().collect::<Vec<_>>().join("\n")
    );
    // The statement that changes the role was there to be seen.
    let redacted = "SELECT count(*) FROM pg_stat_statements WHERE query = 'ALTER ROLE alice PASSWORD <REDACTED>'";
    assert_eq!(cell(&mut quiet, redacted).as_deref(), Some("1"));
    assert!(cluster.log().contains("ROLE,ALTER ROLE,,,ALTER ROLE alice PASSWORD <REDACTED>"));
}

/// The statement is hidden too if another extension or the server raises an error within the
/// function.
#[test]
fn errors_of_others_hide_the_statement_too() {
    let cluster = Cluster::builder()
        .conf("shared_preload_libraries = 'passwordcheck'")
        .conf("log_min_error_statement = debug5")
        .conf("log_parameter_max_length_on_error = -1")
        .start();
    let mut client = cluster.client();
    client.batch_execute("CREATE EXTENSION scram_ext; CREATE ROLE zaphod42 LOGIN").expect("a role");
    let failing = [
        // passwordcheck's hook
        ("SELECT scram.set_role_password('zaphod42', 'zaphod42')", "22023"),
        ("DO $$ BEGIN PERFORM scram.set_role_password('zaphod42', 'zaphod42'); END $$", "22023"),
        // the server: a reserved name, a timeout
        ("SELECT scram.set_role_password('pg_monitor', 'zaphod42')", "42939"),
        (
            "SET statement_timeout = '50ms'; SELECT scram.set_role_password('zaphod42', 'zaphod42!', 100000000)",
            "57014",
        ),
    ];
    client.batch_execute("LOAD 'scram_ext'; SET scram.max_iterations = 100000000").expect("a cap");
    for (sql, code) in failing {
        let before = cluster.log().len();
        let (settings, sql) = sql
            .split_once("; SELECT")
            .map_or_else(|| ("", sql.to_owned()), |(set, call)| (set, format!("SELECT{call}")));
        client.batch_execute(settings).expect(settings);
        let raised = Raised::by(&mut client, &sql);
        client.batch_execute("RESET statement_timeout").expect("no timeout");
        assert_eq!(raised.code, code, "{sql}: {raised:?}");
        assert_eq!(raised.context, None, "{sql}");
        let log = cluster.log().split_off(before);
        assert!(log.contains("ERROR:"), "{sql}: {log}");
        assert!(!log.contains("set_role_password('"), "{sql}: {log}");
    }
    // Statements of other calls in the same session are not hidden afterwards.
    for sql in ["SELECT 1/0 AS divided", "SELECT scram.parse('hunter')"] {
        let before = cluster.log().len();
        Raised::by(&mut client, sql);
        let log = cluster.log().split_off(before);
        assert!(log.contains(&format!("STATEMENT:  {sql}")), "{sql}: {log}");
    }
    // Nor of a block that has caught one of ours.
    let caught =
        "DO $$ BEGIN PERFORM scram.rotate_role('nobody'); EXCEPTION WHEN undefined_object THEN
                  RAISE EXCEPTION 'after'; END $$";
    let before = cluster.log().len();
    let raised = Raised::by(&mut client, caught);
    assert!(raised.context.is_some_and(|context| context.contains("RAISE")));
    assert!(cluster.log().split_off(before).contains("STATEMENT:  DO $$"));
}

#[test]
fn the_documentation_says_where() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/logging.md");
    let page = fs::read_to_string(path).expect("the page");
    let yes = |seen: bool| if seen { "yes" } else { "–" };
    let channels = CHANNELS.iter().map(|channel| (channel.name, channel.seen));
    for (name, seen) in channels.skip(1).chain([STATISTICS, ACTIVITY, CLIENT]) {
        let cells = seen.map(yes).join(" | ");
        let row = format!("| {name} | {cells} |");
        assert!(page.contains(&row), "not in docs/logging.md: {row}");
    }
}

/// Something that a call can be made with, and that is found nowhere else.
fn secret(client: &mut Client, sql: &str, number: u32) -> String {
    if sql.contains("set_role_verifier") {
        return cell(client, "SELECT scram.generate('x')").expect("a verifier");
    }
    format!("sEcReT{number:04}")
}

/// A text to look for secrets in.
struct Text {
    plain: String,
    /// The plain one without white space, where it has values byte by byte: lines break anywhere.
    digits: String,
}

impl Text {
    fn new(plain: Option<String>) -> Self {
        let plain = plain.unwrap_or_default();
        let has_bytes = plain.contains(":constvalue");
        let digits = plain.chars().filter(|c| has_bytes && !c.is_whitespace()).collect();
        Self { plain, digits }
    }

    fn holds(&self, secret: &str) -> bool {
        let digits = secret.bytes().map(|byte| byte.to_string()).collect::<String>();
        self.plain.contains(secret) || self.digits.contains(&digits)
    }
}

/// Runs it with the secret as a literal or as a parameter.
fn run(client: &mut Client, sql: &str, secret: &str, as_parameter: bool) -> Option<Raised> {
    if as_parameter {
        let sql = sql.replace("{p}", "$1::text");
        return client.query(&sql, &[&secret]).err().map(|error| Raised::from_error(&error));
    }
    let sql = sql.replace("{p}", &format!("'{secret}'"));
    client.simple_query(&sql).err().map(|error| Raised::from_error(&error))
}

/// Salts and keys of all stored verifiers, in Base64.
fn stored_parts(client: &mut Client) -> Vec<String> {
    let query = "SELECT rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL
                 UNION SELECT verifier FROM scram_internal.password_history";
    let stored = rows(client, query).into_iter().flatten().flatten();
    stored
        .flat_map(|text| text.split(['$', ':']).skip(2).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}
