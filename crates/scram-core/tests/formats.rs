//! Credentials of other systems, read and written.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scram_core::formats::{ExportError, Format, ImportError, Part, ReadError, export, import};
use scram_core::{Mechanism, Parameters, Password, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    mechanism: String,
    salt_b64: String,
    iterations: u32,
    stored_key_b64: String,
    server_key_b64: String,
    kafka_credential: Option<String>,
}

impl Vector {
    fn mechanism(&self) -> Option<Mechanism> {
        self.mechanism.trim_end_matches("-PLUS").parse().ok()
    }

    /// The text form, put together from the vector's fields.
    fn verifier(&self) -> Option<Verifier> {
        let Self { salt_b64, iterations, stored_key_b64, server_key_b64, .. } = self;
        let mechanism = self.mechanism()?;
        let text = format!("{mechanism}${iterations}:{salt_b64}${stored_key_b64}:{server_key_b64}");
        Some(text.parse().expect(&self.name))
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("testdata/vectors.json")).expect("vectors.json")
}

fn vector(name: &str) -> Vector {
    vectors().into_iter().find(|vector| vector.name == name).expect(name)
}

/// What a system takes is read back as the same verifier; the rest is refused for a reason that the
/// vector shows.
#[test]
fn every_vector_goes_to_every_system_and_back() {
    let mut held = 0;
    for vector in vectors() {
        let Some(verifier) = vector.verifier() else { continue };
        let name = &vector.name;
        let (mechanism, count) = (verifier.mechanism(), vector.iterations);
        for format in Format::ALL {
            match export(&verifier, format) {
                Ok(text) => {
                    let back = import(&text, None).unwrap_or_else(|e| panic!("{name}: {e}"));
                    assert_eq!(back.to_string(), verifier.to_string(), "{name}, {format}");
                    held += 1;
                }
                Err(ExportError::Mechanism { .. }) => {
                    let missing = match mechanism {
                        Mechanism::ScramSha1 => vec![Format::Kafka, Format::PostgreSql],
                        Mechanism::ScramSha256 => vec![],
                        Mechanism::ScramSha512 => vec![
                            Format::Dovecot,
                            Format::Mongodb,
                            Format::PostgreSql,
                            Format::Prosody,
                        ],
                    };
                    assert!(missing.contains(&format), "{name}, {format}");
                }
                Err(ExportError::Iterations { .. }) => {
                    assert!(count < 4096 || format == Format::Kafka && count > 16384, "{name}");
                }
                Err(ExportError::SaltLength { len, .. }) => {
                    assert!(format == Format::Mongodb && verifier.salt().len() != len, "{name}");
                }
                Err(ExportError::SaltText { .. }) => {
                    let text = String::from_utf8(verifier.salt().to_vec());
                    let is_text = text.is_ok_and(|t| t.chars().all(|c| (' '..='~').contains(&c)));
                    assert!(format == Format::Prosody && !is_text, "{name}");
                }
                Err(other) => panic!("{name}: {other}"),
            }
        }
    }
    assert!(held > 400, "{held}");
}

#[test]
fn kafkas_credentials_are_written_as_kafka_writes_them() {
    for name in ["kafka-sha-256", "kafka-sha-512"] {
        let vector = vector(name);
        let verifier = vector.verifier().expect("a verifier");
        let expected = vector.kafka_credential.expect("Kafka's form");
        assert_eq!(export(&verifier, Format::Kafka).as_deref(), Ok(&*expected), "{name}");
        assert_eq!(import(&expected, None).map(|v| v.to_string()), Ok(verifier.to_string()));
    }
}

/// By doveadm of Dovecot 2.3.19: `doveadm pw -s SCHEME -p pencil`.
#[test]
fn dovecots_schemes() {
    let schemes = [
        "{SCRAM-SHA-256}4096,HdKTNe92RoiYd/jODcw6Gw==,q7uALbfQQIfypQTM7B3nA9ZJuu6+5aaUTVHtL9CHjqw=,00U0bTev1OlPQJ754oAiKB2WZ1FaRFckf1SNweVpKHQ=",
        "{SCRAM-SHA-1}4096,ih6E9pOFLbFRoSep+dKoGA==,pvBZc6QOQ+J/OTanfmenrbh6ko8=,c2ExTG6/FgFLxsIp3A8SwtkvdyQ=",
        "{SCRAM-SHA-256.B64}NDA5NixPRU8vMms3SkRPY052S005YVVNeWRBPT0sbkk4SEljSWxmTTBpdldlZStVc3dHcU9xZGs0VENBbnlBaGN0ZTB2akFvWT0sRUtFWDRKY0U4bjJEQm9YOHhJTVptdVhRY0RlTlFxWW10NXhBcHp4T2F4az0=",
        "{SCRAM-SHA-1.HEX}343039362c4c5359576d456d36794d7261644b61455870646535413d3d2c3379565355754e59474e4231774a3338353754527975674e6c32513d2c72616f585a33396d5772665545627151796664324b76794a2f43413d",
    ];
    for scheme in schemes {
        // Names of schemes have no case, in Dovecot too.
        let (name, rest) = scheme.split_once('}').expect("a scheme");
        for text in [scheme.to_owned(), format!("{}}}{rest}", name.to_lowercase())] {
            let verifier = import(&text, None).expect(&text);
            assert!(verifier.verify(&Password::unprepared(b"pencil"), || {}), "{text}");
            if text == scheme && !text.contains('.') {
                assert_eq!(export(&verifier, Format::Dovecot).as_deref(), Ok(scheme));
            }
        }
    }
}

#[test]
fn forms_of_ldap() {
    let verifier = vector("rfc7677-sec3").verifier().expect("a verifier").to_string();
    let (mechanism, value) = verifier.split_once('$').expect("a mechanism");
    for text in [
        verifier.replace('$', " $ "),
        format!("  {}  ", verifier.replace('$', "  $ ")),
        format!("authPassword: {verifier}"),
        format!("authpassword:{verifier}"),
        format!("{{{mechanism}}}{value}"),
        format!("{{{}}}{value}", mechanism.to_lowercase()),
        format!("{{{mechanism}}}{verifier}"),
        format!("userPassword: {{{mechanism}}}{value}"),
    ] {
        assert_eq!(import(&text, None).map(|v| v.to_string()), Ok(verifier.clone()), "{text}");
    }
    assert_eq!(export(&verifier.parse().expect("a verifier"), Format::Ldap), Ok(verifier));
}

/// One user with both credentials, in the three ways that MongoDB's tools write it.
#[test]
fn mongodbs_users() {
    let sha_1 = vector("mongo-sha1-user");
    let sha_256 = vector("mongo-sha256-mongouser");
    let member = |vector: &Vector, count: &str| {
        format!(
            r#""{}":{{"iterationCount":{count},"salt":"{}","storedKey":"{}","serverKey":"{}"}}"#,
            vector.mechanism, vector.salt_b64, vector.stored_key_b64, vector.server_key_b64
        )
    };
    let int = |vector: &Vector| format!(r#"{{"$numberInt":"{}"}}"#, vector.iterations);
    let relaxed = format!("{{{},{}}}", member(&sha_1, "10000"), member(&sha_256, "15000"));
    let canonical =
        format!("{{{}, {}}}", member(&sha_256, &int(&sha_256)), member(&sha_1, &int(&sha_1)));
    let user = format!(
        r#"{{"_id":"admin.u","userId":{{"$binary":{{"base64":"AA==","subType":"04"}}}},"user":"u",
            "db":"admin","credentials":{relaxed},"roles":[{{"role":"root","db":"admin"}}]}}"#
    );
    let (sha_1, sha_256) = (sha_1.verifier().expect("SHA-1"), sha_256.verifier().expect("SHA-256"));
    for text in [&relaxed, &canonical, &user] {
        for (mechanism, expected) in [
            (None, &sha_256),
            (Some(Mechanism::ScramSha256), &sha_256),
            (Some(Mechanism::ScramSha1), &sha_1),
        ] {
            let read = import(text, mechanism).map(|v| v.to_string());
            assert_eq!(read, Ok(expected.to_string()), "{text}");
        }
        let missing = import(text, Some(Mechanism::ScramSha512)).map(|v| v.to_string());
        assert_eq!(missing, Err(ImportError::Mechanism));
    }
    let written = export(&sha_256, Format::Mongodb).expect("MongoDB's form");
    let document: serde_json::Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(document.as_object().map(|members| members.len()), Some(1));
    assert_eq!(document["SCRAM-SHA-256"]["iterationCount"], 15000);
}

/// A salt of Prosody is a UUID, whose text is hashed.
#[test]
fn prosodys_accounts() {
    let salt = "9a4e35f8-4b18-4d8d-9c8c-1b1a8e3f5b7a";
    for (mechanism, count) in [(Mechanism::ScramSha1, 10000), (Mechanism::ScramSha256, 4096)] {
        let count = std::num::NonZeroU32::new(count).expect("a count");
        let parameters = Parameters::new(mechanism, count, salt.into()).expect("parameters");
        let verifier = Verifier::derive(parameters, &Password::prepare(b"pencil"), || {});
        let (stored, server) = (
            hex::encode(verifier.stored_key().as_bytes()),
            hex::encode(verifier.server_key().as_bytes()),
        );
        let file = format!(
            "return {{\n\t[\"iteration_count\"] = {count};\n\t[\"created\"] = 1699999999.5;\n\
             \t[\"stored_key\"] = \"{stored}\";\n\t[\"salt\"] = \"{salt}\";\n\
             \t[\"server_key\"] = \"{server}\";\n}};\n"
        );
        let json = format!(
            r#"{{"salt":"{salt}","iteration_count":{count},"stored_key":"{stored}","server_key":"{server}","updated":1}}"#
        );
        for text in [
            &file,
            &file.replace("[\"", "").replace("\"]", "").replace(';', ","),
            &file.replace('-', "\\045"),
            &json,
        ] {
            let text = text.trim_end_matches([',', '\n']);
            let read = import(text, None).map(|v| v.to_string());
            assert_eq!(read, Ok(verifier.to_string()), "{text}");
        }
        let written = export(&verifier, Format::Prosody).expect("Prosody's form");
        let document: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(document["salt"], salt);
        assert_eq!(document["stored_key"], stored);
    }
}

#[test]
fn ejabberds_forms() {
    for (name, hash) in [
        ("gen-sha1-salt20", "sha"),
        ("gen-sha256-salt16", "sha256"),
        ("gen-sha512-salt16", "sha512"),
    ] {
        let vector = vector(name);
        let verifier = vector.verifier().expect("a verifier").to_string();
        let (stored, server, salt, count) =
            (vector.stored_key_b64, vector.server_key_b64, vector.salt_b64, vector.iterations);
        let twice = |text: &str| STANDARD.encode(text);
        let prefix = if hash == "sha" { String::new() } else { format!("{hash}:") };
        let exported = prefix.replace(':', ",");
        let mut texts = vec![
            format!("scram:{exported}{stored},{server},{salt},{count}"),
            format!(
                "scram:{exported}{},{},{},{count}",
                twice(&stored),
                twice(&server),
                twice(&salt)
            ),
            format!("{{scram,<<\"{stored}\">>,<<\"{server}\">>,<<\"{salt}\">>,{hash},{count}}}"),
            format!(
                "{{passwd,{{<<\"ann\">>,<<\"localhost\">>}},\n  {{scram, <<\"{stored}\">>,\n \
                 <<\"{server}\">>, <<\"{salt}\">>, {hash}, {count}}}}}."
            ),
            format!(
                "#scram{{storedkey = <<\"{stored}\">>, serverkey = <<\"{server}\">>, \
                 salt = <<\"{salt}\">>, hash = {hash}, iterationcount = {count}}}"
            ),
            format!(
                r#"{{"username":"ann","server_host":"localhost","password":"{prefix}{stored}","serverkey":"{server}","salt":"{salt}","iterationcount":{count},"created_at":"2026-01-01"}}"#
            ),
            format!(
                r#"{{"password":"{stored}","serverkey":"{server}","salt":"{salt}","iterationcount":{count},"hash":"{hash}"}}"#
            ),
        ];
        if hash == "sha" {
            texts.push(format!(
                "{{scram,<<\"{stored}\">>,<<\"{server}\">>,<<\"{salt}\">>,{count}}}"
            ));
        }
        for text in texts {
            let read = import(&text, None).map(|v| v.to_string());
            assert_eq!(read, Ok(verifier.clone()), "{text}");
        }
        let verifier = verifier.parse().expect("a verifier");
        let written = export(&verifier, Format::Ejabberd).expect("ejabberd's form");
        let document: serde_json::Value = serde_json::from_str(&written).expect("JSON");
        assert_eq!(document["password"], stored);
        assert_eq!(document["iterationcount"], count);
        assert_eq!(document["hash"], hash);
    }
}

/// What ejabberd 23.01 exported for password `\u{2163} pencil\u{AD}`, and the form that XEP-0227 has.
#[test]
fn ejabberds_elements() {
    let exported = "<user name='theirs-mnesia'><scram-credentials xmlns='urn:xmpp:pie:0#scram' \
        mechanism='SCRAM-SHA-256'><iter-count>4096</iter-count><salt>MHAzaUt0bmhTbzRyK3FGOUczREY0Zz09</salt>\
        <server-key>d3UvZ2hzV3F2a2dVTVpzcE1kMzNTMWRJcDFJSm0vNnRPT0toZEtZZHdFST0=</server-key>\
        <stored-key>ZXlqY25YWk1qRThoTUdJbitHVkR5NTJ0NGxLQ1ZOWWgyc1orUGpIZ0ZFcz0=</stored-key>\
        </scram-credentials></user>";
    let expected = "SCRAM-SHA-256$4096:0p3iKtnhSo4r+qF9G3DF4g==$eyjcnXZMjE8hMGIn+GVDy52t4lKCVNYh2sZ+PjHgFEs=:\
        wu/ghsWqvkgUMZspMd33S1dIp1IJm/6tOOKhdKYdwEI=";
    assert_eq!(
        import(exported, None).map(|verifier| verifier.to_string()),
        Ok(expected.to_owned())
    );

    let element = |mechanism: &str, stored: &str, server: &str, salt: &str, count: u32| {
        format!(
            "\n <scram-credentials mechanism=\"{mechanism}\" xmlns=\"urn:xmpp:pie:0#scram\">\n  <salt>{salt}</salt>\n  \
             <iter-count>{count}</iter-count>\n  <server-key>{server}</server-key>\n  \
             <stored-key>\n{stored}\n</stored-key>\n </scram-credentials>"
        )
    };
    let [weak, strong] = ["gen-sha1-salt20", "gen-sha512-salt16"].map(|name| {
        let vector = vector(name);
        let verifier = vector.verifier().expect("a verifier");
        let mechanism = verifier.mechanism().to_string();
        let element = element(
            &mechanism,
            &vector.stored_key_b64,
            &vector.server_key_b64,
            &vector.salt_b64,
            vector.iterations,
        );
        (verifier.to_string(), element)
    });
    let both = format!("<user name=\"ann\">{}{}</user>", strong.1, weak.1);
    let read = |text: &str, mechanism: Option<Mechanism>| {
        import(text, mechanism).map(|verifier| verifier.to_string())
    };
    assert_eq!(read(&weak.1, None), Ok(weak.0.clone()));
    assert_eq!(read(&both, None), Ok(strong.0));
    assert_eq!(read(&both, Some(Mechanism::ScramSha1)), Ok(weak.0));

    let part = |part| Err(ImportError::Read(ReadError::Part { format: Format::Ejabberd, part }));
    let two_users = format!("<host>{0}{0}</host>", weak.1);
    for (text, expected) in [
        (two_users, part(Part::Fields)),
        (weak.1.replace("SCRAM-SHA-1", "SCRAM-SHA3-512"), part(Part::Mechanism)),
        (weak.1.replace("mechanism=", "name="), part(Part::Mechanism)),
        (weak.1.replace("iter-count", "count"), part(Part::Iterations)),
        (weak.1.replace("stored-key", "key"), part(Part::StoredKey)),
        (weak.1.replace("</scram-credentials>", ""), part(Part::Fields)),
        (weak.1.replace("<salt>", "<salt>*"), part(Part::Salt)),
        ("<scram-credentials".to_owned(), part(Part::Fields)),
        ("<scram-credentials mechanism=></scram-credentials>".to_owned(), part(Part::Mechanism)),
    ] {
        assert_eq!(read(&text, None), expected, "{text}");
    }
}

/// A text that is nearly in a form is refused, and the error names the part.
#[test]
fn refused() {
    let kafka = vector("kafka-sha-256").kafka_credential.expect("Kafka's form");
    let part = |format, part| ImportError::Read(ReadError::Part { format, part });
    let unknown = ImportError::Read(ReadError::Unknown);
    let cases = [
        (kafka.replace("4096", "4095"), part(Format::Kafka, Part::Iterations)),
        (kafka.replace("4096", "16385"), part(Format::Kafka, Part::Iterations)),
        (kafka.replace("salt=M", "salt=*"), part(Format::Kafka, Part::Salt)),
        (kafka.replace("server_key=6", "server_key=*"), part(Format::Kafka, Part::ServerKey)),
        (kafka.replace("stored_key=s", "stored_key="), part(Format::Kafka, Part::StoredKey)),
        (kafka.replace(",iterations=4096", ""), part(Format::Kafka, Part::Iterations)),
        (kafka.replace("stored_key", "salt"), part(Format::Kafka, Part::Fields)),
        (
            "{SCRAM-SHA-1}65536,RUv9G/ptoFS4Xei7,U03H6yqmCffuLurOyHdJ0QQyUGc=,\
             A+syzIJFxAlItJHYK6NPtCewulk=,99c6a428d7318cdfb5378bbb55d97f8033fd0fb4"
                .to_owned(),
            part(Format::Dovecot, Part::Fields),
        ),
        ("scram:a,b,c".to_owned(), part(Format::Ejabberd, Part::Fields)),
        ("{scram,<<\"a\">>}".to_owned(), part(Format::Ejabberd, Part::Fields)),
        ("scram:md5,a,b,c,1".to_owned(), part(Format::Ejabberd, Part::Mechanism)),
        ("return { iteration_count = 1; }".to_owned(), part(Format::Prosody, Part::StoredKey)),
        ("return { iteration_count = { 1 } }".to_owned(), unknown),
        ("hunter2".to_owned(), unknown),
        (String::new(), unknown),
        ("{}".to_owned(), unknown),
        ("md50123456789abcdef0123456789abcdef".to_owned(), unknown),
    ];
    for (text, expected) in cases {
        assert_eq!(import(&text, None).err(), Some(expected), "{text}");
    }
    let begins_like_one = import("SCRAM-SHA-256$0:AAAA$AAAA:AAAA", None).err();
    assert!(matches!(begins_like_one, Some(ImportError::Verifier(_))), "{begins_like_one:?}");
}

/// Each malformed form of negative.json.
#[test]
fn hostile_forms() {
    let cases: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("testdata/negative.json")).expect("negative.json");
    let mut seen = 0;
    for case in cases.iter().filter(|case| case["target"] == "verifier") {
        // Well formed: refused for its cost, where keys are derived.
        if case["name"] == "v-iterations-huge" {
            continue;
        }
        let text = case["input"].as_str().expect("a text");
        assert!(import(text, None).is_err(), "{}", case["name"]);
        seen += 1;
    }
    assert_eq!(seen, 63);
}
