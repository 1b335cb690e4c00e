//! Attacks on the numbers of an audit: stored and shown numbers must not tell which word was the
//! password.

use scram_ext_client_tests::{Cluster, Run, cell, make_role, rows, text};

/// The numbers of a run over the built-in list with one role of this password, and how far its secret
/// was tried.
fn numbers(password: &str) -> Vec<Vec<Option<String>>> {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("SELECT scram.load_wordlist()").expect("words");
    make_role(&mut client, "weak", &format!("scram.generate('{password}', 1)"));
    Run::call(&mut client);
    let mut numbers =
        rows(&mut client, "SELECT status, candidates_tested, candidates_left FROM scram.audit_run");
    numbers.extend(rows(
        &mut client,
        "SELECT last_word_id = (SELECT max(word_id) FROM scram_internal.candidate), guess_version
         FROM scram_internal.stored_secret",
    ));
    let found = "SELECT count(*) FROM scram.audit_finding WHERE check_id = 'password_in_wordlist'";
    let hits = if password == "Zq8-unlisted" { "0" } else { "1" };
    assert_eq!(cell(&mut client, found).as_deref(), Some(hits), "{password}");
    numbers
}

#[test]
fn a_run_counts_the_same_wherever_the_hit_is() {
    let expected = numbers("Zq8-unlisted");
    assert_eq!(expected[0][0], text("done"));
    for position in ["1", "2", "4458", "4459", "10000"] {
        let cluster = Cluster::with_extension();
        let word = format!(
            "SELECT word FROM (SELECT word, row_number() OVER () AS n FROM scram_internal.builtin_words() word) w
             WHERE n = {position}"
        );
        let word = cell(&mut cluster.client(), &word).expect("a word");
        assert_eq!(numbers(&word.replace('\'', "''")), expected, "word {position}");
    }
}

/// Nor do the numbers of a run that ends early.
#[test]
fn a_partial_run_counts_the_same_wherever_the_hit_is() {
    let run = |password: &str| {
        let cluster = Cluster::with_extension();
        let mut client = cluster.client();
        // One batch of words takes longer than the whole budget.
        client
            .batch_execute(
                "INSERT INTO scram.wordlist SELECT 'word' || i FROM generate_series(1, 3000) i",
            )
            .expect("words");
        make_role(&mut client, "weak", &format!("scram.generate('{password}', 200000)"));
        let first = Run::call_with(&mut client, "budget => '0'");
        let own = "SELECT by_name FROM scram_internal.stored_secret";
        let own: i64 = cell(&mut client, own).expect("a number").parse().expect("a number");
        // All that it counts is whole batches.
        (first.tested + first.left, own <= first.tested)
    };
    assert_eq!(run("word1"), run("word2999"));
}

/// A secret that two checks hit has both findings.
#[test]
fn a_password_can_hit_two_checks() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client.batch_execute("CREATE DATABASE warehouse").expect("a name");
    client
        .batch_execute("INSERT INTO scram.wordlist VALUES ('warehouse'), ('other')")
        .expect("a word that is a name");
    make_role(&mut client, "weak", "scram.generate('warehouse', 1)");
    Run::call(&mut client);
    let found = "SELECT check_id FROM scram.audit_finding
                 WHERE subject = 'weak' AND check_id LIKE 'password_i%' ORDER BY 1";
    let expected = ["password_in_wordlist", "password_is_name"].map(|check| vec![text(check)]);
    assert_eq!(rows(&mut client, found), expected);
}
