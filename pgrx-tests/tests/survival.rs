//! An audit that is killed at any moment, and one whose roles change meanwhile: no committed row is
//! lost, no candidate is tried twice, and the next run reports the present state.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use postgres::Client;
use scram_ext_client_tests::{Cluster, Run, cell, make_role, rows, until};

/// Registered tables: a step of a run tries passwords on one of them, so that there are many steps.
const SOURCES: usize = 20;

#[test]
fn a_killed_session_loses_one_step() {
    survive(40, |cluster, pid| cluster.kill_session(pid));
}

#[test]
fn a_crashed_server_loses_one_step() {
    survive(12, |cluster, _| {
        cluster.crash();
        true
    });
}

/// Kills runs in their middle, `kills` times, and checks the stored rows after each.
fn survive(kills: usize, mut blow: impl FnMut(&mut Cluster, u32) -> bool) {
    let mut cluster = Cluster::with_extension();
    seed(&mut cluster.client());
    let mut words = 0;
    add_words(&mut cluster.client(), &mut words);
    let mut state = State::default();
    let mut interrupted = 0;
    // A slow server would be killed before it tries a password, each time. So every second run is not killed before.
    let until_it_tries = "SELECT (SELECT p.pid FROM scram_internal.current_run p
                          JOIN scram_internal.stored_run r USING (run_id) WHERE r.candidates_tested > 0)";
    let until_it_begins = "SELECT pid FROM scram_internal.current_run";
    while interrupted < kills {
        let (pid, running) = run_in_the_background(&cluster);
        let mut client = cluster.client();
        let begins = if interrupted % 2 == 0 { until_it_begins } else { until_it_tries };
        until("the run has begun", || {
            let begun = cell(&mut client, begins).is_some_and(|other| other == pid.to_string());
            (begun || running.is_finished()).then_some(())
        });
        thread::sleep(Duration::from_millis(random(700)));
        let killed = !running.is_finished() && blow(&mut cluster, pid);
        let ended = running.join().expect("the thread");

        let mut client = cluster.client();
        state = State::read(&mut client).since(&state);
        let last = Run::all(&mut client).pop().expect("a run");
        match &*last.status {
            "interrupted" | "running" => {
                assert!(killed, "{ended:?}");
                interrupted += 1;
            }
            // The run ended before it was killed.
            "done" => add_words(&mut client, &mut words),
            status => panic!("{status}"),
        }
    }

    let mut client = cluster.client();
    let last = Run::call(&mut client);
    assert_eq!((&*last.status, last.left), ("done", 0));
    let state = State::read(&mut client).since(&state);
    let everything = "SELECT sum(t.by_name + (SELECT count(*) FROM scram_internal.candidate))
                      FROM scram_internal.stored_secret t WHERE t.by_name > 0";
    assert_eq!(state.tested, number(&mut client, everything));
    let statuses = "SELECT count(*) FILTER (WHERE status = 'interrupted'),
                           count(*) FILTER (WHERE status NOT IN ('interrupted', 'done')) FROM scram.audit_run";
    let statuses = rows(&mut client, statuses).remove(0);
    assert_eq!(statuses, [Some(interrupted.to_string()), Some("0".to_owned())]);

    // Some were killed while they read, some while they tried.
    let tried = "SELECT count(*) FILTER (WHERE candidates_tested = 0) > 0, count(*) FILTER (WHERE candidates_tested > 0) > 0
                 FROM scram.audit_run WHERE status = 'interrupted'";
    let both = rows(&mut client, tried);
    assert!(both == [["t", "t"].map(|t| Some(t.to_owned()))], "{both:?}");

    let guessed = "SELECT f.source, f.subject, f.check_id FROM scram.audit_finding f
                   JOIN scram_internal.guess_checks() g USING (check_id)";
    let mut expected: BTreeSet<_> = (0..SOURCES)
        .map(|i| [format!("source{i}"), format!("weak{i}"), "password_is_name".to_owned()])
        .collect();
    expected.insert(["role", "weak", "password_is_name"].map(str::to_owned));
    expected.insert(["role", "hit", "password_in_wordlist"].map(str::to_owned));
    assert_eq!(triples(&mut client, guessed), expected);
    let others = "SELECT f.source, f.subject, f.check_id FROM scram.audit_finding f
                  WHERE NOT EXISTS (SELECT FROM scram_internal.guess_checks() g WHERE g.check_id = f.check_id)";
    // What is stored of a rule is not its place.
    let now = others
        .replace("scram.audit_finding", "scram.audit()")
        .replace("f.subject", "regexp_replace(f.subject, ', pg_hba.conf:[0-9]+$', '')");
    assert_eq!(triples(&mut client, others), triples(&mut client, &now));
}

/// The committed state of the audit.
#[derive(Default)]
struct State {
    /// Each secret, the version of the passwords that its name suggests, and the last word that was tried.
    secrets: BTreeMap<String, (i64, i64)>,
    /// Every finding. None of them may be fixed.
    findings: BTreeSet<[String; 3]>,
    /// The sum over the rows of all runs.
    tested: i64,
}

impl State {
    fn read(client: &mut Client) -> Self {
        let secrets = "SELECT digest::text, guess_version, last_word_id
                       FROM scram_internal.stored_secret";
        let secrets = rows(client, secrets)
            .into_iter()
            .map(|row| {
                let text = |column: usize| row[column].clone().expect("no NULL");
                let number = |column| text(column).parse().expect("a number");
                (text(0), (number(1), number(2)))
            })
            .collect();
        let tested = number(client, "SELECT sum(candidates_tested)::bigint FROM scram.audit_run");
        // The candidates remembered for each secret add up to the number that the runs report as
        // tried.
        let tried = "SELECT coalesce(sum(CASE WHEN t.guess_version > 0 THEN t.by_name ELSE 0 END
                         + (SELECT count(*) FROM scram_internal.candidate w
                            WHERE w.word_id <= t.last_word_id)), 0)::bigint
                     FROM scram_internal.stored_secret t WHERE t.by_name > 0";
        assert_eq!(number(client, tried), tested, "what was tried, and what is remembered");
        let odd =
            "SELECT source, subject, check_id FROM scram.audit_finding WHERE status <> 'open'";
        assert_eq!(triples(client, odd), BTreeSet::new(), "nothing was mended");
        let findings = "SELECT source, subject, check_id FROM scram.audit_finding";
        Self { secrets, findings: triples(client, findings), tested }
    }

    /// Checks that no row was lost since `before`.
    fn since(self, before: &Self) -> Self {
        for (secret, old) in &before.secrets {
            let new = self.secrets.get(secret).unwrap_or_else(|| panic!("{secret} is lost"));
            assert!(new.0 >= old.0 && new.1 >= old.1, "{secret}: {old:?}, then {new:?}");
        }
        assert!(self.findings.is_superset(&before.findings), "{:?}", before.findings);
        assert!(self.tested >= before.tested);
        self
    }
}

fn seed(client: &mut Client) {
    make_role(client, "weak", "scram.generate('weak')");
    make_role(client, "hit", "scram.generate('Zq8-hit')");
    make_role(client, "strong", "scram.generate('Zq8-unlike')");
    client.batch_execute("INSERT INTO scram.wordlist VALUES ('Zq8-hit')").expect("a word");
    for i in 0..SOURCES {
        client
            .batch_execute(&format!(
                "CREATE TABLE source{i} (name text, secret text);
                 INSERT INTO source{i} VALUES ('weak{i}', scram.generate('weak{i}')),
                     ('strong{i}', scram.generate('Zq8-unlike'))"
            ))
            .expect("a table");
        let register =
            format!("SELECT scram.add_audit_source('source{i}', 'source{i}', 'name', 'secret')");
        client.batch_execute(&register).expect("a source");
    }
    // Numbered before all others.
    client.batch_execute("SELECT scram_internal.sync_candidates()").expect("the first words");
}

/// Work for some seconds.
fn add_words(client: &mut Client, words: &mut usize) {
    let sql = format!(
        "INSERT INTO scram.wordlist SELECT 'Zq8-word' || i FROM generate_series({}, {}) i",
        *words + 1,
        *words + 300
    );
    client.batch_execute(&sql).expect("words");
    *words += 300;
}

/// Roles are created, dropped and altered while an audit tries their passwords, and other sessions
/// start runs too.
#[test]
fn roles_change_under_a_run() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    for i in 0..30 {
        let password = if i % 3 == 0 { format!("r{i}") } else { format!("Zq8-unlike-{i}") };
        make_role(&mut client, &format!("r{i}"), &format!("scram.generate('{password}')"));
    }
    let mut words = 0;
    add_words(&mut client, &mut words);
    let (_, running) = run_in_the_background(&cluster);
    let mut refused = 0;
    let mut turns = 0;
    while !running.is_finished() {
        let (a, b) = (random(30), random(30));
        let password = if a % 2 == 0 { "Zq8-other".to_owned() } else { format!("r{a}") };
        let change = format!(
            "DROP ROLE IF EXISTS r{b};
             DO $$BEGIN ALTER ROLE r{a} PASSWORD '{password}'; EXCEPTION WHEN undefined_object THEN
                 CREATE ROLE r{a} LOGIN PASSWORD '{password}' VALID UNTIL 'infinity'; END$$"
        );
        client.batch_execute(&change).expect("a change");
        if cell(&mut client, "SELECT pid FROM scram_internal.current_run").is_some() {
            refused += usize::from(cell(&mut client, "CALL scram.run_audit()").is_none());
        }
        turns += 1;
    }
    running.join().expect("the thread").expect("it goes on to its end");
    assert!(turns > 10 && refused > 5, "{turns} changes, {refused} runs refused");
    let runs = Run::all(&mut client);
    assert!(runs.iter().all(|run| run.status == "done"), "{runs:?}");

    // After all that, the next run finds the same as a first run would find now.
    let weak = "SELECT 'role', rolname, 'password_is_name' FROM pg_authid
                WHERE rolname ~ '^r' AND scram.is_verifier(rolpassword) AND scram.verify(rolname, rolpassword)";
    let weak = triples(&mut client, weak);
    let open = "SELECT source, subject, check_id FROM scram.audit_finding
                WHERE status = 'open' AND check_id = 'password_is_name'";
    assert_eq!(Run::call(&mut client).status, "done");
    assert_eq!(triples(&mut client, open), weak);
    assert_eq!(Run::call(&mut client).tested, 0);
    let all = "SELECT source, subject, check_id FROM scram.audit_finding WHERE status = 'open'";
    let now = "SELECT source, regexp_replace(subject, ', pg_hba.conf:[0-9]+$', ''), check_id FROM scram.audit()";
    assert_eq!(triples(&mut client, all), triples(&mut client, now));
    let twice = "SELECT (SELECT count(*) FROM scram_internal.stored_secret)
                     - (SELECT count(*) FROM scram_internal.role_secret)";
    assert_eq!(number(&mut client, twice), 0, "one secret a role");
}

/// Starts a run in a session of its own; returns the process id and the thread.
fn run_in_the_background(cluster: &Cluster) -> (u32, JoinHandle<Result<(), postgres::Error>>) {
    let mut session = cluster.client();
    let pid = number(&mut session, "SELECT pg_backend_pid()");
    let running = thread::spawn(move || session.batch_execute("CALL scram.run_audit()"));
    (u32::try_from(pid).expect("a process"), running)
}

fn triples(client: &mut Client, sql: &str) -> BTreeSet<[String; 3]> {
    let mut found = BTreeSet::new();
    for row in rows(client, sql) {
        let row: Vec<_> = row.into_iter().flatten().collect();
        let row = <[String; 3]>::try_from(row).expect("three values");
        assert!(found.insert(row.clone()), "twice: {row:?}");
    }
    found
}

fn number(client: &mut Client, sql: &str) -> i64 {
    cell(client, sql).expect("a number").parse().expect("a number")
}

/// Another one at each call, below `bound`.
fn random(bound: u64) -> u64 {
    RandomState::new().build_hasher().finish() % bound
}
