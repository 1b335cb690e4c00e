//! What a finding is about: a rule by its text, a role by its OID and name. Its acceptance holds as long as the
//! same facts are judged.

use postgres::Client;
use scram_ext_client_tests::{Cluster, rows};

const TRUST: &str = "SELECT subject || '|' || evidence || '|' || status || '|' || first_run FROM scram.audit_finding
                     WHERE check_id = 'hba_trust' ORDER BY subject DESC";

#[test]
fn a_rule_is_known_by_its_text() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE ROLE bob LOGIN").expect("a role");
    let rules = "local all all trust\nhost shop,app ann,+staff 10.1.2.3/8 trust\n";
    run_with(&cluster, &mut client, rules);
    let no_role = "decides about no role: no such role, earlier rules decide, or the server does not listen there";
    let all = "decides about every role that may log in";
    let app = "host app,shop +staff,ann 10.0.0.0/8 trust";
    let expected = [
        format!("local all all trust|{all}; pg_hba.conf:1|open|1"),
        format!("{app}|{no_role}; pg_hba.conf:2|open|1"),
    ];
    assert_eq!(column(&mut client, TRUST), expected);
    client
        .batch_execute("SELECT scram.accept_findings('hba_trust', note => 'known')")
        .expect("accepted");

    // Comments, blanks, the order of lists, the form of the mask and the line do not matter.
    let rules = "# why\nhost app,\\\n shop +staff,\"ann\" 10.0.0.0 255.0.0.0 trust # here\n\n\tlocal\tall all trust\n";
    run_with(&cluster, &mut client, rules);
    let expected = [
        format!("local all all trust|{all}; pg_hba.conf:5|accepted|1"),
        format!("{app}|{no_role}; pg_hba.conf:2|accepted|1"),
    ];
    assert_eq!(column(&mut client, TRUST), expected);
    assert_eq!(
        column(
            &mut client,
            "SELECT d::text FROM scram.audit_diff(1, 2) d WHERE check_id LIKE 'hba%'"
        ),
        [""; 0]
    );
    let earlier =
        "SELECT DISTINCT earlier::text FROM scram.audit_finding WHERE check_id = 'hba_trust'";
    assert_eq!(column(&mut client, earlier), ["[]"]);

    // A second rule with the same text, and another rule.
    run_with(
        &cluster,
        &mut client,
        &format!("{rules}local all all trust\nlocal all all trust\nhost all all ::1/128 trust"),
    );
    let new = "SELECT change || ' ' || subject FROM scram.audit_diff(2, 3) WHERE check_id = 'hba_trust' ORDER BY 1";
    let expected = [
        "new host all all ::1/128 trust",
        "new local all all trust #2",
        "new local all all trust #3",
    ];
    assert_eq!(column(&mut client, new), expected);
    run_with(&cluster, &mut client, "local all all trust");
    let open = "SELECT subject || ' ' || status || ' ' || note FROM scram.audit_finding WHERE check_id = 'hba_trust' AND status <> 'fixed'";
    assert_eq!(column(&mut client, open), ["local all all trust accepted known"]);
}

/// Superusers only is less severe, so a rule that was accepted as such is open once it lets others in.
#[test]
fn a_rule_that_decides_about_more_is_open_again() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    run_with(&cluster, &mut client, "local all all trust");
    client
        .batch_execute("SELECT scram.accept_findings('hba_trust', note => 'only the DBA')")
        .expect("accepted");
    client.batch_execute("CREATE ROLE ann LOGIN").expect("a role");
    run(&mut client);
    let found = "SELECT status || '|' || severity || '|' || note FROM scram.audit_finding WHERE check_id = 'hba_trust'";
    let found = column(&mut client, found);
    assert!(found[0].starts_with("open|critical|accepted as warning ("), "{found:?}");
    assert!(found[0].ends_with("until the facts changed in run 2: only the DBA"), "{found:?}");
}

const ROLES: &str = "SELECT concat_ws(' ', subject, check_id, status, first_run, note) FROM scram.audit_finding
                     WHERE source = 'role' AND check_id IN ('password_expired', 'password_is_name', 'password_in_wordlist', 'md5_hash')
                     ORDER BY finding_id";

#[test]
fn findings_follow_a_role_that_is_renamed() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'dragon' VALID UNTIL '2020-01-01';
             CREATE ROLE bob LOGIN PASSWORD 'Xq8-bob' VALID UNTIL '2021-01-01';
             INSERT INTO scram.wordlist VALUES ('dragon')",
        )
        .expect("roles");
    run(&mut client);
    client
        .batch_execute(
            "SELECT scram.accept_findings('password_expired', 'ann', note => 'of ann');
             SELECT scram.accept_findings('password_in_wordlist', note => 'a test')",
        )
        .expect("accepted");
    // Ann and bob exchange their names.
    client
        .batch_execute(
            "ALTER ROLE ann RENAME TO x; ALTER ROLE bob RENAME TO ann; ALTER ROLE x RENAME TO bob",
        )
        .expect("names");
    run(&mut client);
    let mut found = column(&mut client, ROLES);
    found.sort();
    let expected = [
        "ann password_expired open 1",
        "bob password_expired accepted 1 of ann",
        "bob password_in_wordlist accepted 1 a test",
    ];
    assert_eq!(found, expected);
    let evidence = "SELECT evidence FROM scram.audit_finding WHERE subject = 'bob' AND check_id = 'password_expired'";
    assert!(column(&mut client, evidence)[0].contains("2020"));
    let changed = "SELECT d::text FROM scram.audit_diff(1, 2) d WHERE subject IN ('ann', 'bob')";
    assert_eq!(column(&mut client, changed), [""; 0]);

    // Another role with the name of a dropped one.
    client
        .batch_execute(
            "DROP ROLE bob; CREATE ROLE bob LOGIN PASSWORD 'Xq8-bob' VALID UNTIL '2020-01-01'",
        )
        .expect("another one");
    run(&mut client);
    let expected = [
        "ann password_expired open 1",
        "bob password_expired fixed 1 of ann",
        "bob password_expired open 3",
        "bob password_in_wordlist fixed 1 a test",
    ];
    let mut found = column(&mut client, ROLES);
    found.sort();
    assert_eq!(found, expected);
    // The evidence is the same, and still it is another finding, in both directions.
    let diff = |a: i32, b: i32| {
        format!(
            "SELECT concat_ws(' ', change, subject) FROM scram.audit_diff({a}, {b})
             WHERE check_id = 'password_expired' ORDER BY 1"
        )
    };
    assert_eq!(column(&mut client, &diff(2, 3)), ["fixed bob", "new bob"]);
    assert_eq!(column(&mut client, &diff(3, 1)), ["fixed bob", "new bob"]);

    // A finding of the same role that comes back as it was is no change.
    client.batch_execute("ALTER ROLE bob VALID UNTIL 'infinity'").expect("no end");
    run(&mut client);
    client.batch_execute("ALTER ROLE bob VALID UNTIL '2020-01-01'").expect("an end");
    run(&mut client);
    assert_eq!(column(&mut client, &diff(3, 4)), ["fixed bob"]);
    assert_eq!(column(&mut client, &diff(3, 5)), [""; 0]);
}

/// A role that gets the name of a dropped one keeps its findings, and only those of the dropped one end.
#[test]
fn a_renamed_role_is_not_taken_for_the_dropped_one() {
    for (dropped, renamed) in [("ann", "bob"), ("bob", "ann")] {
        let cluster = Cluster::with_extension();
        let mut client = cluster.client();
        let roles = "CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann' VALID UNTIL '2020-01-01';
            CREATE ROLE bob LOGIN PASSWORD 'Xq8-bob' VALID UNTIL '2020-01-01'";
        client.batch_execute(roles).expect("roles");
        run(&mut client);
        let rename = format!("DROP ROLE {dropped}; ALTER ROLE {renamed} RENAME TO {dropped}");
        client.batch_execute(&rename).expect("another name");
        run(&mut client);
        let diff = |a: i32, b: i32| {
            format!(
                "SELECT concat_ws(' ', change, subject) FROM scram.audit_diff({a}, {b})
                 WHERE check_id = 'password_expired' ORDER BY 1"
            )
        };
        assert_eq!(column(&mut client, &diff(1, 2)), [format!("fixed {dropped}")]);
        assert_eq!(column(&mut client, &diff(2, 1)), [format!("new {dropped}")]);
    }
}

/// A user with CREATEROLE chooses the names of roles, and none of them keeps a run from following another role.
#[test]
fn no_name_of_a_role_stops_a_run() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann' VALID UNTIL '2020-01-01';
             DO $$ BEGIN
                 EXECUTE format('CREATE ROLE %I LOGIN PASSWORD %L VALID UNTIL %L',
                     (SELECT 'role ' || oid || ' anna' FROM pg_roles WHERE rolname = 'ann'), 'Xq8-other', '2020-01-01');
             END $$",
        )
        .expect("roles");
    run(&mut client);
    client.batch_execute("ALTER ROLE ann RENAME TO anna").expect("a name");
    run(&mut client);
    let found = "SELECT regexp_replace(subject, '[0-9]+', 'N') || ' ' || status || ' ' || first_run
                 FROM scram.audit_finding WHERE check_id = 'password_expired' ORDER BY 1";
    assert_eq!(column(&mut client, found), ["anna open 1", "role N anna open 1"]);
}

/// A restored finding whose check is off stands, although no role has its name. Then a role gets that name.
#[test]
fn a_finding_on_a_role_of_another_cluster_stops_no_run() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann' VALID UNTIL '2020-01-01';
             CREATE ROLE bob LOGIN PASSWORD 'Xq8-bob' VALID UNTIL '2021-01-01';
             CREATE ROLE zoe LOGIN PASSWORD 'zoe'",
        )
        .expect("roles");
    run(&mut client);
    client
        .batch_execute(
            "INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_expired', 'off')",
        )
        .expect("a policy");
    run(&mut client);
    cluster.copy_database("postgres", "copy", true);
    client.batch_execute("DROP ROLE bob").expect("a role less");
    let mut copy = cluster.client_as("postgres", "copy");
    run(&mut copy);
    copy.batch_execute("ALTER ROLE ann RENAME TO bob; DELETE FROM scram.audit_policy")
        .expect("a name");
    run(&mut copy);
    let found =
        "SELECT concat_ws(' ', subject, status, first_run, substring(evidence from '20[0-9][0-9]'))
                 FROM scram.audit_finding WHERE check_id = 'password_expired' ORDER BY 1";
    assert_eq!(column(&mut copy, found), ["bob fixed 1 2021", "bob open 1 2020"]);
}

#[test]
fn an_acceptance_ends_when_the_role_can_do_more() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("SET password_encryption = 'md5'; CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL '2100-01-01'")
        .expect("a role");
    run(&mut client);
    client
        .batch_execute(
            "SELECT scram.accept_findings('md5_hash', note => 'an old client');
             SELECT scram.accept_findings('password_is_name', note => 'a test')",
        )
        .expect("accepted");
    run(&mut client);
    let mut found = column(&mut client, ROLES);
    found.sort();
    let accepted =
        ["ann md5_hash accepted 1 an old client", "ann password_is_name accepted 1 a test"];
    assert_eq!(found, accepted);
    client.batch_execute("ALTER ROLE ann SUPERUSER").expect("more");
    run(&mut client);
    let mut found = column(&mut client, ROLES);
    found.sort();
    let expected = [
        "ann md5_hash open 1 accepted as critical (stored as md5), until the facts changed in run 3: an old client",
        "ann password_is_name open 1 accepted as critical (the password is its own name, a database's or the host's, or a simple variation of it), until the facts changed in run 3: a test",
    ];
    assert_eq!(found, expected);
    // Once more: the facts that are judged now.
    client
        .batch_execute("SELECT scram.accept_findings('md5_hash', note => repeat('x', 8192))")
        .expect("accepted");
    run(&mut client);
    let status = "SELECT status FROM scram.audit_finding WHERE check_id = 'md5_hash'";
    assert_eq!(column(&mut client, status), ["accepted"]);
    // A note of any length leaves room for the reason.
    client.batch_execute("ALTER ROLE ann NOSUPERUSER").expect("less");
    run(&mut client);
    let note = "SELECT status || ' ' || note FROM scram.audit_finding WHERE check_id = 'md5_hash'";
    let note = column(&mut client, note).remove(0);
    assert!(
        note.starts_with(
            "open accepted as critical (stored as md5; the role has SUPERUSER), until"
        )
    );
    assert!(note.ends_with("xxx..."));
}

/// A password that is known is worse once the role may log in, or can do more.
#[test]
fn an_acceptance_of_a_known_password_ends_when_the_role_can_do_more() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann PASSWORD 'ann'; CREATE ROLE files")
        .expect("a role that cannot log in");
    let found = "SELECT status FROM scram.audit_finding WHERE subject = 'ann' AND check_id = 'password_is_name'";
    run(&mut client);
    for change in [
        "ALTER ROLE ann LOGIN",
        "GRANT pg_read_all_data TO ann",
        "GRANT pg_execute_server_program TO files; GRANT files TO ann",
        "ALTER DATABASE template1 OWNER TO ann",
    ] {
        client.batch_execute("SELECT scram.accept_findings('password_is_name')").expect("accepted");
        run(&mut client);
        assert_eq!(column(&mut client, found), ["accepted"], "before {change}");
        client.batch_execute(change).expect(change);
        run(&mut client);
        assert_eq!(column(&mut client, found), ["open"], "{change}");
    }
}

/// More rows of the same kind are no other fact, but a change.
#[test]
fn an_acceptance_covers_more_rows() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute(
            "CREATE TABLE account (name text, secret text);
             INSERT INTO account SELECT 'user' || i, md5(i::text) FROM generate_series(1, 3) i;
             SELECT scram.add_audit_source('app', 'account', 'name', 'secret')",
        )
        .expect("a source");
    run(&mut client);
    client.batch_execute("SELECT scram.accept_findings('hash_weak')").expect("accepted");
    client.batch_execute("INSERT INTO account VALUES ('user4', md5('4'))").expect("one more");
    run(&mut client);
    let found = "SELECT status || ' ' || split_part(evidence, ':', 1) FROM scram.audit_finding WHERE check_id = 'hash_weak'";
    assert_eq!(column(&mut client, found), ["accepted 4 rows"]);
    assert_eq!(
        column(&mut client, "SELECT change FROM scram.audit_diff(1, 2) WHERE source = 'app'"),
        ["changed"]
    );
}

/// OIDs are another cluster's after a restore, so the first run there goes by names.
#[test]
fn a_restored_acceptance_is_taken_over_by_name() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann' VALID UNTIL '2020-01-01'")
        .expect("a role");
    run(&mut client);
    client
        .batch_execute("SELECT scram.accept_findings('password_expired', note => 'known')")
        .expect("accepted");
    cluster.copy_database("postgres", "copy", true);
    // Another OID.
    client
        .batch_execute(
            "DROP ROLE ann; CREATE ROLE ann LOGIN PASSWORD 'Xq8-ann' VALID UNTIL '2020-01-01'",
        )
        .expect("a role");
    let mut copy = cluster.client_as("postgres", "copy");
    run(&mut copy);
    assert_eq!(column(&mut copy, ROLES), ["ann password_expired accepted 1 known"]);
    copy.batch_execute("ALTER ROLE ann RENAME TO anna").expect("a name");
    run(&mut copy);
    assert_eq!(column(&mut copy, ROLES), ["anna password_expired accepted 1 known"]);
}

fn run_with(cluster: &Cluster, client: &mut Client, rules: &str) {
    cluster.reload_hba(client, rules);
    run(client);
}

fn run(client: &mut Client) {
    client.batch_execute("CALL scram.run_audit()").expect("a run");
}

fn column(client: &mut Client, sql: &str) -> Vec<String> {
    rows(client, sql).into_iter().flatten().map(|cell| cell.expect("a value")).collect()
}
