//! Stored secrets of many systems, and texts that only look like them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use password_audit::identify::{Kind, identify, looks_like_a_secret};
use serde::Deserialize;

const KEYS: &str =
    "zHCdol2044/ZyWzPLi7oxApCkamKw9Z+E4U/QApd/5Y=:dd5peBOitVnLNFu7VmwP+HiDaaw4OUCv396eVCWhYiE=";

#[test]
fn recognised() {
    let sha_1 = "SCRAM-SHA-1$4096:QSXCR+Q6sek8bf92$6dlGYMOdZcOPutkcNY8U2g7vK9Y=:D+CSWLOshSulAsxiupA+qs2/fTE=";
    let sha_256 = &format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${KEYS}");
    let key_64 = format!("{}==", "A".repeat(86));
    let sha_512 = &format!("SCRAM-SHA-512$4096:AAECAwQFBgcICQoLDA0ODw==${key_64}:{key_64}");
    let dovecot =
        &format!("{{SCRAM-SHA-256}}4096,AAECAwQFBgcICQoLDA0ODw==,{}", KEYS.replace(':', ","));
    let (stored, server) = KEYS.split_once(':').expect("two keys");
    let (salt_16, salt_28) =
        ("AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==");
    let mongodb_1 = format!(
        r#""SCRAM-SHA-1": {{"iterationCount": 10000, "salt": "{salt_16}", "storedKey": "6dlGYMOdZcOPutkcNY8U2g7vK9Y=", "serverKey": "D+CSWLOshSulAsxiupA+qs2\/fTE="}}"#
    );
    let mongodb_256 = format!(
        r#""SCRAM-SHA-256": {{"iterationCount": 15000, "salt": "{salt_28}", "storedKey": "{stored}", "serverKey": "{server}"}}"#
    );
    let mongodb = &format!("{{{mongodb_1}, {mongodb_256}}}");
    let user = &format!(
        r#" {{"_id": "db.u", "user": "u", "credentials": {{{mongodb_256}}}, "roles": [{{"role": "read"}}]}}"#
    );
    // A user may have members of any name there.
    let custom = &user.replace(
        r#""roles""#,
        r#""customData": {"iteration_count": 1, "iterationcount": 1}, "roles""#,
    );
    let kafka = &format!(
        "salt=AAECAwQFBgcICQoLDA0ODw==,stored_key={stored},server_key={server},iterations=4096"
    );
    let kafka_512 =
        &format!("iterations=8192,server_key={key_64},stored_key={key_64},salt=MWszaA==");
    // The same in canonical Extended JSON, and in Dovecot's encodings.
    let canonical = &format!("{{{mongodb_256}}}").replace("15000", r#"{"$numberInt": "15000"}"#);
    let (_, fields) = dovecot.split_once('}').expect("a scheme");
    let encoded = STANDARD.encode(fields);
    let dovecot_b64 = &format!("{{SCRAM-SHA-256.b64}}{encoded}");
    let dovecot_hex = &format!("{{SCRAM-SHA-256.HEX}}{}", hex::encode(fields));
    // Forms without a label of their own, by their mechanism.
    let hex_key = |length: usize| "0f".repeat(length);
    let prosody = |length: usize| {
        let key = hex_key(length);
        format!(
            r#"{{"iteration_count":10000,"salt":"a uuid","stored_key":"{key}","server_key":"{key}"}}"#
        )
    };
    let prosody_file = &format!(
        "return {{\n\t[\"iteration_count\"] = 10000;\n\t[\"salt\"] = \"a uuid\";\n\
         \t[\"stored_key\"] = \"{key}\";\n\t[\"server_key\"] = \"{key}\";\n}};\n",
        key = hex_key(20)
    );
    let ejabberd = &format!(
        r#"{{"password":"sha256:{stored}","serverkey":"{server}","salt":"AAAA","iterationcount":4096}}"#
    );
    let ejabberd_exported = &format!("scram:sha512,{key_64},{key_64},AAAA,4096");
    let auth_password = &sha_256.replace('$', " $ ");
    let user_password = &sha_256.replacen("SCRAM-SHA-256$", "{SCRAM-SHA-256}", 1);
    let cases = [
        (Kind::ScramSha1, &*prosody(20)),
        (Kind::ScramSha256, &prosody(32)),
        (Kind::Unknown, &prosody(64)),
        (Kind::ScramSha1, prosody_file),
        (Kind::ScramSha256, ejabberd),
        (Kind::ScramSha512, ejabberd_exported),
        (Kind::ScramSha256, auth_password),
        (Kind::ScramSha256, user_password),
        (Kind::Dovecot, &dovecot.replace("SCRAM-SHA", "scram-sha")),
        (Kind::ScramSha1, sha_1),
        (Kind::Dovecot, dovecot_b64),
        (Kind::Dovecot, dovecot_hex),
        (Kind::Mongodb, canonical),
        (Kind::ScramSha256, sha_256),
        (Kind::ScramSha512, sha_512),
        (Kind::Dovecot, dovecot),
        (Kind::Kafka, kafka),
        (Kind::Kafka, kafka_512),
        (Kind::Mongodb, mongodb),
        (Kind::Mongodb, user),
        (Kind::Mongodb, custom),
        (Kind::Md5, "md50123456789abcdef0123456789abcdef"),
        (Kind::Bcrypt, "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"),
        (Kind::Bcrypt, "$2y$10$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW"),
        (
            Kind::Argon2,
            "$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
        ),
        (
            Kind::Argon2,
            "$argon2i$m=4096,t=3,p=1$c29tZXNhbHQ$iWh06vD8Fy27wf9npn6FXWiCX4K6pW6Ue1Bnzz07Z8A",
        ),
        (
            Kind::Scrypt,
            "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E",
        ),
        (
            Kind::Scrypt,
            "scrypt$16384$seasalt$8$1$Qj3+9PPyRjSJIebHnG81TMjsqtaIGxNQG/aEB/NYafTJ7tibgfYz71m0ldQESkXFRkdVCBhhY8mx7rQwite/Pw==",
        ),
        (
            Kind::Scrypt,
            "scrypt:32768:8:1$pYJ1hT6Q$8d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92",
        ),
        (Kind::Scrypt, "$7$CU..../....AAAABBBBCCCC$I4soR/REtFI3D6In9RKMKZ.kS45lquGmRFqRuC/Hcs/"),
        (
            Kind::Yescrypt,
            "$y$j9T$LdJMENpBABJJ3hIHjB1Bi.$tHCVkICQGewfrJncpjxaTpyxWIlRXp3v70mNUgJc9P5",
        ),
        (
            Kind::Sha512Crypt,
            "$6$saltstring$Wspbkvh9VR9k.5FhrEX5QuXIhny1ZR6t1JcW7cUaNNlvGeocueB2IYFN40CbfZ4cl/WePSJC5pA/G1VTFwAkU.",
        ),
        (
            Kind::Sha512Crypt,
            "$6$rounds=10000$saltstringsaltst$7gxjsmWBoQg0HnxKhiTW/tu.vjP7XcX6/Szx/LiWMq8.pp.02jD9hr9aAqmHep.bnioaB8E.9hF77NOMIDUNM0",
        ),
        (Kind::Sha256Crypt, "$5$saltstring$wuJ45iOx5v450rU6JtvcL8/irPJiQfTgbn.aeqNlOqB"),
        (Kind::Md5Crypt, "$1$28772684$ozA7I/TH8iPOuo16LSw6p0"),
        (Kind::Md5Crypt, "$apr1$5pZSV9va$azfrPr6af3Fc7dLblQXVa0"),
        (
            Kind::Pbkdf2,
            "$pbkdf2-sha256$29000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN33N23OSgQYThBYRfk",
        ),
        (
            Kind::Pbkdf2,
            "$pbkdf2-sha256$i=600000,l=32$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A+WF/Z5JZv+lfCIhXXN33N23OSgQYThBYRfk",
        ),
        (Kind::Pbkdf2, "$pbkdf2$131000$N2YMIWQsBWBMae09x1jrPQ$1t8iyB2A.WF/Z5JZv.lfCIhXXN0"),
        (Kind::Pbkdf2, "pbkdf2_sha256$600000$seasalt$OsR8MRkfQGz3zLCgmzPMSKRY4SNP2MtbnMD4/mOKf0M="),
        (
            Kind::Pbkdf2,
            "pbkdf2:sha256:600000$mBKGg5$5a1ab31b5cbd14a7a9a6b6e1a1e0e6c2f0b8f6d1b0d1a2f4e5c6b7a8d9e0f1a2",
        ),
    ];
    for (kind, secret) in cases {
        assert_eq!(identify(secret, |_| false), kind, "{secret}");
    }
}

/// Texts that no system stores in this form, so that they count as plain text.
#[test]
fn lookalikes() {
    let long = "x".repeat(1 << 20);
    let braces = "{".repeat(1 << 20);
    let cases = [
        "",
        "pencil",
        "md5",
        "md5isbroken",
        "MD50123456789ABCDEF0123456789ABCDEF",
        "md50123456789ABCDEF0123456789ABCDEF",
        "scram-sha-256$4096:AAAA$AAAA:AAAA",
        "$2b$12$short",
        "$2b$99$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW",
        "$2b$12$EixZaYVK1fsbw1ZfbX3OXePaWxn96p36WQoeG6Lruj3vjPGga31lW ",
        "$1$money$money",
        "$6$saltstring$tooshort",
        "$5$$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc8",
        "$y$j9T$salt$hash",
        "$argon2id$",
        "$argon2id$v=19$m=65536,t=3$c29tZXNhbHQ$RdescudvJCsgt3ub+b+dWRWJTmaaJObG",
        "scrypt$1$2$3$4$5",
        "pbkdf2_sha256$x$salt$hash",
        "pbkdf2_mine$600000$seasalt$OsR8MRkfQGz3zLCgmzPMSKRY4SNP2MtbnMD4/mOKf0M=",
        "{SCRAM-SHA-256}",
        "{SCRAM-SHA-256.B64}",
        "{SCRAM-SHA-256.HEX}0",
        "{SCRAM-SHA-256.ROT13}4096,AAAA,AAAA,AAAA",
        "{SCRAM-SHA-512}4096,AAAA,AAAA,AAAA",
        "{}",
        r#"{"SCRAM-SHA-256": null}"#,
        r#"{"credentials": {}}"#,
        "salt=,stored_key=,server_key=,iterations=",
        "salt=a,salt=a,salt=a,salt=a",
        &long,
        &braces,
    ];
    for secret in cases {
        let shown: String = secret.chars().take(80).collect();
        assert_eq!(identify(secret, |_| false), Kind::Unknown, "{shown}");
    }
}

#[test]
fn the_server_decides_on_what_is_not_strict() {
    let lax = &format!("SCRAM-SHA-256$+4096:AAECAwQFBgcICQoLDA0ODw==${KEYS}");
    assert_eq!(identify(lax, |_| true), Kind::ScramLax);
    assert_eq!(identify(lax, |_| false), Kind::ScramMalformed);

    // PostgreSQL 15 skips the empty first field, 18 does not.
    let dollar = &format!("$SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${KEYS}");
    assert_eq!(identify(dollar, |_| true), Kind::ScramLax);
    assert_eq!(identify(dollar, |_| false), Kind::Unknown);

    let strict = &format!("SCRAM-SHA-256$4096:AAECAwQFBgcICQoLDA0ODw==${KEYS}");
    assert_eq!(identify(strict, |_| panic!("asked about a strict one")), Kind::ScramSha256);
}

/// A hostile or broken stored form.
#[derive(Deserialize)]
struct Case {
    name: String,
    target: String,
    input: Option<String>,
    context: serde_json::Value,
    postgres_15: Option<String>,
    postgres_18: Option<String>,
}

/// A hostile form is never taken for the form that it imitates, on any server.
#[test]
fn hostile_forms() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../scram-core/tests/testdata/negative.json"))
            .expect("JSON");
    let mut seen = 0;
    for case in cases.into_iter().filter(|case| case.target == "verifier") {
        let input = case.input.expect("a verifier has a text");
        // Well-formed: refused for its cost, and only where keys are derived.
        if case.name == "v-iterations-huge" {
            assert_eq!(identify(&input, |_| true), Kind::ScramSha256);
            continue;
        }
        // Well-formed too: a check says that Kafka refuses the count.
        if ["v-kafka-low-iterations", "v-kafka-high-iterations"].contains(&&*case.name) {
            assert_eq!(identify(&input, |_| false), Kind::Kafka, "{}", case.name);
            continue;
        }
        for server in [&case.postgres_15, &case.postgres_18] {
            let accepts = server.as_deref().is_some_and(|s| s.starts_with("accept"));
            let kind = identify(&input, |_| accepts);
            let expected = if accepts {
                Kind::ScramLax
            } else if input.starts_with("SCRAM-") {
                Kind::ScramMalformed
            } else {
                Kind::Unknown
            };
            assert_eq!(kind, expected, "{} ({})", case.name, case.context["format"]);
            seen += 1;
        }
    }
    assert_eq!(seen, 2 * 61);
}

/// A column with secrets that was taken for the names: no finding may show one, whole or torn.
#[test]
fn names_that_look_like_secrets() {
    for secret in [
        "$1$a$ozA7I/TH8iPOuo16LSw6p0",
        "SCRAM-SHA-256$4096:AAEC",
        "SCRAM-",
        "md5d41d8cd98f00b204e9800998ecf8427e",
    ] {
        assert!(looks_like_a_secret(secret), "{secret}");
    }
    for name in ["alice", "scram-user", "$1$", "a user with a long name, but no secret"] {
        assert!(!looks_like_a_secret(name), "{name}");
    }
}
