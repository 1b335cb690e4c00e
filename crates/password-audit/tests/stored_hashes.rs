//! Rows of a source that hold no SCRAM verifier: good hashes, weak ones, and plain text.

mod common;

use common::{default_policy, plain, row};

use password_audit::identify::{Kind, identify};

/// Each text, its label, and the evidence of a weak hash: crypt(5), PHC, Werkzeug, Django, passlib, Dovecot,
/// LDAP, Spring, WordPress, MySQL, ASP.NET.
#[test]
fn hashes() {
    let good: &[(&str, Kind)] = &[
        ("$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", Kind::Bcrypt),
        (
            "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            Kind::Argon2,
        ),
        (
            "$y$j9T$LdJMENpBABJJ3hIHjB1Bi.$tHCVkICQGewfrJncpjxaTpyxWIlRXp3v70mNUgJc9P5",
            Kind::Yescrypt,
        ),
        ("$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB", Kind::Sha256Crypt),
        (
            "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
            Kind::Pbkdf2,
        ),
        (
            "scrypt:32768:8:1$pYJ1hT6Q$8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92",
            Kind::Scrypt,
        ),
        (
            "argon2$argon2id$v=19$m=102400,t=2,p=8$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
            Kind::Argon2,
        ),
        (
            "bcrypt_sha256$$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
            Kind::Bcrypt,
        ),
        ("bcrypt$$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", Kind::Bcrypt),
        (
            "$bcrypt-sha256$v=2,t=2b,r=12$n79VH.0Q2TMWmt3Oqt9uku$Kq4Noyk3094Y2QlB8NdRT8SvGiI4ft2",
            Kind::Bcrypt,
        ),
        ("{BLF-CRYPT}$2y$10$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", Kind::Bcrypt),
        ("{bcrypt}$2a$10$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", Kind::Bcrypt),
        ("{CRYPT}$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB", Kind::Sha256Crypt),
        (
            "{PBKDF2-SHA256}29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
            Kind::Pbkdf2,
        ),
        ("$wp$2y$10$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW", Kind::Bcrypt),
        (
            "AQAAAAEAAYagAAAAEDAxMjM0NTY3ODlhYmNkZWZZgRVXW6XSoG3uIac4WmrlGYfRo4W+Y4pOVQCCf2ZZgw==",
            Kind::Pbkdf2,
        ),
    ];
    for &(text, kind) in good {
        assert_eq!(identify(text, |_| false), kind, "{text}");
        assert_eq!(found(text), None, "{text}");
    }

    let weak: &[(&str, Kind, &str)] = &[
        ("$1$28772684$ozA7I/TH8iPOuo16LSw6p0", Kind::Md5Crypt, "MD5-crypt"),
        ("$apr1$5pZSV9va$azfrPr6af3Fc7dLblQXVa0", Kind::Md5Crypt, "MD5-crypt"),
        ("3cb4e732631f47e6eb961f34554b7cde", Kind::Unknown, "MD5 without a salt"),
        ("2F9E53523B62ABC141A2B4D6019D23CBA835DBD0", Kind::Unknown, "SHA-1 without a salt"),
        (
            "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631",
            Kind::Unknown,
            "SHA-256 without a salt",
        ),
        ("*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19", Kind::Unknown, "SHA-1 without a salt"),
        ("rlvUgWolD854A", Kind::Unknown, "DES-crypt"),
        ("crypt$$rlvUgWolD854A", Kind::Unknown, "DES-crypt"),
        ("{CRYPT}rlvUgWolD854A", Kind::Unknown, "DES-crypt"),
        ("_J9..K0AyUubSFGGM1s2", Kind::Unknown, "DES-crypt"),
        ("$P$B1234567890123456789012345678./", Kind::Unknown, "phpass with MD5"),
        ("{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=", Kind::Unknown, "one step of SHA"),
        ("{SSHA}awc/Cj0kafyFd5d8fGn07xoHBJJzYWx0c2FsdA==", Kind::Unknown, "one step of SSHA"),
        ("sha1$a1976$a36cc8cbf81742a8fb52e221aaeab48ed7f58ab4", Kind::Unknown, "one step of sha1"),
        ("md5$$3cb4e732631f47e6eb961f34554b7cde", Kind::Unknown, "one step of md5 without a salt"),
        ("$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq", Kind::Unknown, "SHA-1 of NetBSD"),
        (
            "pbkdf2_sha256$1000$seasalt$OsR8MRkfQGz3zLCgmzPMSKRY4SNP2MtbnMD4/mOKf0M=",
            Kind::Pbkdf2,
            "PBKDF2 with 1000 iterations, at least 10000 wanted",
        ),
        (
            "ADAxMjM0NTY3ODlhYmNkZWZpR8Ta/HlDvOBtvSPHj0Bo2ldRBBVbql48o3lpvfsbjQ==",
            Kind::Pbkdf2,
            "PBKDF2 with 1000 iterations, at least 10000 wanted",
        ),
        (
            "$5$rounds=1000$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
            Kind::Sha256Crypt,
            "sha256crypt with 1000 rounds, at least 5000 wanted",
        ),
    ];
    for &(text, kind, weakness) in weak {
        assert_eq!(identify(text, |_| false), kind, "{text}");
        let expected = Some(("hash_weak", format!("looks like {weakness}")));
        assert_eq!(found(text), expected, "{text}");
    }
}

#[test]
fn plain_text() {
    let long = "x".repeat(1 << 16);
    for text in [
        "hunter2",
        "",
        "correct horse battery",
        // Thirteen characters, as many as DES-crypt's.
        "internalsaccc",
        "Correcthorse1",
        "INTERNAL.2026",
        "{PLAIN}hunter2",
        "{noop}hunter2",
        "plain$$hunter2",
        "{SHA}hunter2",
        "md5$salt$hunter2",
        "0123456789abcdef",
        "deadbeef",
        "$2b$12$short",
        "!important",
        &long,
    ] {
        let found = found(text).map(|(check, _)| check);
        assert_eq!(found, Some("password_plain_text"), "{text:.80}");
    }
}

/// Texts that stand for an account without a password.
#[test]
fn locked_accounts() {
    for text in [
        "!",
        "!!",
        "*",
        "*LK*",
        "!hCuNbsjuVqFHT6yVqTJvUcbyXbkgzpSYbOTRgNCr",
        "!$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB",
        "!rlvUgWolD854A",
    ] {
        assert_eq!(found(text), None, "{text}");
    }
}

/// The one check that finds a row with this text, and its evidence.
fn found(text: &str) -> Option<(&'static str, String)> {
    let subject = row("eve", None, plain(text));
    let found = password_audit::scan_subject(&subject, &default_policy());
    assert!(found.len() < 2, "{text}: {found:?}");
    found.into_iter().next().map(|hit| (hit.check.id, hit.evidence))
}
