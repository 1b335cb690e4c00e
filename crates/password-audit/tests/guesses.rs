//! Which passwords are tried on which secrets, and how a secret is known again.

mod common;

use std::collections::BTreeSet;
use std::convert::Infallible;

use password_audit::{
    self, CHECKS, CheckKind, ClientKind, Guesses, Policy, ServerConfig, Severity, StoredSecret,
    Subject,
};
use scram_core::keys::{HmacKey, Key};
use scram_core::{Mechanism, Password};
use zeroize::Zeroizing;

use common::{SALT, derive, found, ids, plain, policy, role, row, run, strict};

const KAFKA: &str = "salt=MDEyMzQ1Njc4OWFiY2RlZg==,\
                     stored_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,\
                     server_key=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=,iterations=4096";

/// A digest depends on the secret, its subject and its source, and on nothing else.
#[test]
fn digests() {
    let key = Key::new(Mechanism::ScramSha256, &[7; 32]).expect("32 bytes");
    let key = HmacKey::new(&key);
    let digest = |subject: &Subject| {
        password_audit::secret_digest(&key, subject).map(|key| key.as_bytes().to_vec())
    };
    let first = digest(&role("abc", strict("pw", 4096, SALT)));
    assert!(first.is_some());
    assert_eq!(first, digest(&role("abc", strict("pw", 4096, SALT))));
    assert_ne!(first, digest(&role("abc", strict("pw2", 4096, SALT))));
    assert_ne!(first, digest(&role("abd", strict("pw", 4096, SALT))));
    assert_ne!(first, digest(&row("abc", None, strict("pw", 4096, SALT))));
    assert_eq!(digest(&role("abc", None)), None);
}

#[test]
fn what_is_tried() {
    let cases = [
        (role("abc", strict("pw", 6000, SALT)), true),
        (role("abc", strict("pw", 6001, SALT)), false),
        (role("abc", plain("md50123456789abcdef0123456789abcdef")), true),
        (role("abc", plain("plain text")), false),
        (role("abc", None), false),
        (row("abc", None, plain(KAFKA)), true),
    ];
    for (subject, expected) in cases {
        assert_eq!(password_audit::is_tried(&subject, &policy()), expected, "{subject:?}");
    }

    let tried = |subject: &Subject, policy: &Policy| {
        password_audit::candidates_by_name(subject, policy)
            .iter()
            .map(|c| (c.check.id, String::from_utf8_lossy(c.as_ref()).into_owned()))
            .collect::<BTreeSet<_>>()
    };
    let subject = role("abc", strict("pw", 4096, SALT));
    let expected = [
        "abc", "ABC", "cba", "abcabc", "abc1", "abc123", "abc!", "abc2026", "abc2025", "Abc",
        "AbcAbc", "Abc1", "Abc123", "Abc!", "Abc2026", "Abc2025",
    ];
    let expected = expected.map(|text| ("password_is_name", text.to_owned()));
    let empty = [("password_empty", String::new())];
    assert_eq!(tried(&subject, &policy()), expected.into_iter().chain(empty).collect());
    let next_year = Policy { year: 2027, ..policy() };
    assert_ne!(tried(&subject, &policy()), tried(&subject, &next_year));
    assert_ne!(password_audit::guess_version(&policy()), password_audit::guess_version(&next_year));
}

/// Names of databases and the host are varied like the role's name.
#[test]
fn names_of_the_server() {
    for password in ["shop", "SHOP", "pohs", "shopshop", "shop1", "shop2025", "db7"] {
        let policy = Policy { names: vec!["shop".to_owned(), "db7".to_owned()], ..policy() };
        let subjects = [role("bob", strict(password, 4096, SALT))];
        let found = run(&subjects, &ServerConfig::default(), &policy);
        assert_eq!(ids(&found), ["password_is_name"], "{password}");
    }
}

/// Where the server's encoding is not UTF-8, its bytes and the client's are both tried.
#[test]
fn names_in_another_encoding() {
    let latin_1 = b"\xE9lan".as_slice();
    for bytes in [latin_1, "\u{E9}lan".as_bytes()] {
        let verifier = derive(Mechanism::ScramSha256, &Password::prepare(bytes), 4096, SALT);
        let secret = StoredSecret::parse(Zeroizing::new(verifier), |_| None);
        let subject = Subject { name_bytes: latin_1.to_vec(), ..role("\u{E9}lan", Some(secret)) };
        assert_eq!(found(&[subject], &ServerConfig::default()), ["password_is_name"]);
    }
}

/// Credentials of SCRAM-SHA-1 that MongoDB would make for `user` with `pencil`, in each form that a row can hold them
/// in. Its name is that of the document, or else of the row.
#[test]
fn mongodbs_digests_are_tried() {
    let credentials = r#"{"SCRAM-SHA-1": {"iterationCount": 10000, "salt": "O9rxC4kSwjMvCjP3iq4HNg==",
        "storedKey": "i1Bvf345utyOqbNnnyIFRNNYQ6o=", "serverKey": "3S0CKuR0H93PxYClPHV6YkGNco8="}}"#;
    let document = format!(r#"{{"_id": "db.user", "user": "user", "credentials": {credentials}}}"#);
    let verifier = "SCRAM-SHA-1$10000:O9rxC4kSwjMvCjP3iq4HNg==$i1Bvf345utyOqbNnnyIFRNNYQ6o=:3S0CKuR0H93PxYClPHV6YkGNco8=";
    let mongodb = Some(ClientKind::Mongodb);
    let policy = Policy { max_iterations: 10_000, ..policy() };
    for (subject, is_found) in [
        (row("user", None, plain(credentials)), true),
        (row("User", None, plain(credentials)), false),
        (row("db.user", None, plain(&document)), true),
        (row("user", mongodb, plain(verifier)), true),
        (row("user", None, plain(verifier)), false),
    ] {
        let guesses = [Guesses { subject: &subject, candidates: &["pen", "pencil"] }];
        let hits = password_audit::guess(&guesses, &policy, |search| -> Result<(), Infallible> {
            search.work(|| ());
            Ok(())
        });
        let expected = if is_found { vec![1] } else { Vec::new() };
        assert_eq!(hits, Ok(vec![expected]), "{}", subject.name);
    }
}

/// The name of a document's user suggests passwords, where the row is named otherwise.
#[test]
fn names_of_documents() {
    let document = r#"{"_id": "db.user", "user": "user", "credentials": {"SCRAM-SHA-1": {"iterationCount": 4096,
        "salt": "O9rxC4kSwjMvCjP3iq4HNg==", "storedKey": "i1Bvf345utyOqbNnnyIFRNNYQ6o=", "serverKey": "3S0CKuR0H93PxYClPHV6YkGNco8="}}}"#;
    let tried = |subject: Subject| {
        let candidates = password_audit::candidates_by_name(&subject, &policy());
        ["db.user1", "user1", "USER"]
            .map(|text| candidates.iter().any(|c| c.as_ref() == text.as_bytes()))
    };
    assert_eq!(tried(row("db.user", None, plain(document))), [true, true, true]);
    assert_eq!(
        tried(row("db.user", None, plain("md50123456789abcdef0123456789abcdef"))),
        [true, false, false]
    );
}

/// A failing `search` ends the run.
#[test]
fn a_search_can_fail() {
    let subjects = [role("abc", strict("pw", 4096, SALT))];
    let mut searches = 0;
    let result = password_audit::guess_names(&subjects, &policy(), &[], |search| {
        searches += 1;
        search.stop();
        Err("cancelled")
    });
    assert_eq!((result.err(), searches), (Some("cancelled"), 1));
}

#[test]
fn nothing_secret_is_printed() {
    let subject = role("bob", strict("pw", 4096, SALT));
    let printed = format!("{subject:?}");
    assert!(printed.contains("StoredSecret { kind: ScramSha256, .. }"), "{printed}");
    assert!(!printed.contains("SCRAM-SHA-256$"), "{printed}");
    assert_eq!(Severity::Critical.to_string(), "critical");
    assert!(CHECKS.iter().any(|check| matches!(check.kind, CheckKind::Guess(_))));
}
