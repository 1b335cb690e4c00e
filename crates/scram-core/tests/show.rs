//! Texts for people: explained messages, checks of recorded exchanges.

use scram_core::Verifier;
use scram_core::explain::explain;
use scram_core::transcript::Transcript;

// RFC 7677 section 3.
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

#[test]
fn transcripts() {
    let replaced = |message: &str, from, to| message.replace(from, to);
    // The fault, the messages, and the check that must be the first to fail.
    let cases = [
        ("nothing", FIRST.into(), SERVER_FIRST.into(), FINAL.into(), SERVER_FINAL, None),
        (
            "no GS2 header",
            replaced(FIRST, "n,,", ""),
            SERVER_FIRST.into(),
            FINAL.into(),
            SERVER_FINAL,
            Some((1, "syntax")),
        ),
        (
            "server-first of another exchange",
            FIRST.into(),
            replaced(SERVER_FIRST, "r=r", "r=q"),
            FINAL.into(),
            SERVER_FINAL,
            Some((2, "nonce")),
        ),
        (
            "the server added no nonce",
            FIRST.into(),
            replaced(SERVER_FIRST, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", ""),
            FINAL.into(),
            SERVER_FINAL,
            Some((2, "nonce")),
        ),
        (
            "another salt",
            FIRST.into(),
            replaced(SERVER_FIRST, "s=W", "s=X"),
            FINAL.into(),
            SERVER_FINAL,
            Some((2, "salt")),
        ),
        (
            "another count",
            FIRST.into(),
            replaced(SERVER_FIRST, "4096", "4097"),
            FINAL.into(),
            SERVER_FINAL,
            Some((2, "iterations")),
        ),
        (
            "the proof has another length",
            FIRST.into(),
            SERVER_FIRST.into(),
            replaced(FINAL, "AndVQ=", ""),
            SERVER_FINAL,
            Some((3, "syntax")),
        ),
        (
            "another GS2 header",
            FIRST.into(),
            SERVER_FIRST.into(),
            replaced(FINAL, "biws", "eSws"),
            SERVER_FINAL,
            Some((3, "GS2 header")),
        ),
        (
            "data behind the header",
            FIRST.into(),
            SERVER_FIRST.into(),
            replaced(FINAL, "biws", "biwseA=="),
            SERVER_FINAL,
            Some((3, "channel binding")),
        ),
        (
            "client-final of another exchange",
            FIRST.into(),
            SERVER_FIRST.into(),
            replaced(FINAL, "k0,", "k1,"),
            SERVER_FINAL,
            Some((3, "nonce")),
        ),
        (
            "another password",
            FIRST.into(),
            SERVER_FIRST.into(),
            replaced(FINAL, "p=d", "p=e"),
            SERVER_FINAL,
            Some((3, "proof")),
        ),
        (
            "another user name in client-first",
            replaced(FIRST, "n=user", "n=root"),
            SERVER_FIRST.into(),
            FINAL.into(),
            SERVER_FINAL,
            Some((3, "proof")),
        ),
        (
            "the server refuses",
            FIRST.into(),
            SERVER_FIRST.into(),
            FINAL.into(),
            "e=invalid-proof",
            Some((4, "outcome")),
        ),
        (
            "another server",
            FIRST.into(),
            SERVER_FIRST.into(),
            FINAL.into(),
            "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            Some((4, "server signature")),
        ),
    ];
    for (name, first, server_first, last, server_final, expected) in cases {
        let (first, server_first, last): (String, String, String) = (first, server_first, last);
        let checks = Transcript {
            client_first: first.as_bytes(),
            server_first: server_first.as_bytes(),
            client_final: last.as_bytes(),
            server_final: Some(server_final.as_bytes()),
            binding_data: None,
        }
        .check(&verifier());
        let failed = checks.iter().find(|check| check.ok != Some(true));
        assert_eq!(failed.map(|check| (check.step, check.name)), expected, "{name}");
        assert_eq!(
            checks.last().map(|check| check.ok == Some(true)),
            Some(expected.is_none()),
            "{name}: nothing comes after what fails"
        );
        if expected.is_none() {
            assert_eq!(checks.len(), 12, "{name}");
        }
    }
}

/// The proofs of negative.json: made by an independent implementation with this mistake in it.
#[test]
fn a_known_mistake_is_named() {
    let last = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                p=4EAop/T5P0yMqL+sWjG+u92rFa4lKjujFbPPc2ByVPI=";
    let checks = Transcript {
        client_first: FIRST.as_bytes(),
        server_first: SERVER_FIRST.as_bytes(),
        client_final: last.as_bytes(),
        server_final: None,
        binding_data: None,
    }
    .check(&verifier());
    let last = checks.last().expect("a check");
    assert_eq!((last.name, last.ok), ("proof", Some(false)));
    assert!(last.detail.contains("GS2 header"), "{}", last.detail);
}

#[test]
fn channel_binding_data() {
    // scramp's exchange over tls-unique, from vectors.json.
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("testdata/vectors.json")).expect("vectors.json");
    let vector = vectors
        .as_array()
        .and_then(|all| all.iter().find(|v| v["name"] == "hs-sha256-plus-tls-exporter"))
        .expect("the vector");
    let text = |key: &str| vector[key].as_str().expect(key).to_owned();
    let verifier: Verifier = text("postgres_verifier").parse().expect("a verifier");
    let [first, server_first, last] = ["client_first", "server_first", "client_final"].map(text);
    let data = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.decode(text("cbind_data_b64")).expect("data")
    };
    let cases = [(Some(data.as_slice()), Some(true)), (Some(b"x"), Some(false)), (None, None)];
    for (binding_data, expected) in cases {
        let checks = Transcript {
            client_first: first.as_bytes(),
            server_first: server_first.as_bytes(),
            client_final: last.as_bytes(),
            server_final: None,
            binding_data,
        }
        .check(&verifier);
        let check = checks.iter().find(|check| check.name == "channel binding").expect("a check");
        assert_eq!(check.ok, expected);
        let proof = checks.iter().find(|check| check.name == "proof");
        assert_eq!(proof.is_some(), expected != Some(false));
    }
}

#[test]
fn explanations() {
    let cases: &[(&str, &[Explained])] = &[
        (
            FIRST,
            &[
                (Some('n'), "gs2-cbind-flag", "does not support"),
                (Some('n'), "username", "the user"),
                (Some('r'), "nonce", "20 characters"),
            ],
        ),
        (
            "y,a=a=2Cb,n=,r=abc,x=1",
            &[
                (Some('y'), "gs2-cbind-flag", "found none"),
                (Some('a'), "authzid", "a,b"),
                (Some('n'), "username", "empty"),
                (Some('r'), "nonce", "3 characters"),
                (Some('x'), "extension", "signed"),
            ],
        ),
        (
            "p=tls-unique,,n=u,r=abc",
            &[
                (Some('p'), "gs2-cbind-flag", "tls-unique"),
                (Some('n'), "username", ""),
                (Some('r'), "nonce", ""),
            ],
        ),
        (
            SERVER_FIRST,
            &[
                (Some('r'), "nonce", "server's"),
                (Some('s'), "salt", "16 bytes"),
                (Some('i'), "iteration-count", ""),
            ],
        ),
        (
            FINAL,
            &[
                (Some('c'), "channel-binding", "GS2 header n,,"),
                (Some('r'), "nonce", ""),
                (Some('p'), "proof", "SCRAM-SHA-256"),
            ],
        ),
        (SERVER_FINAL, &[(Some('v'), "verifier", "ServerSignature")]),
        ("e=invalid-proof", &[(Some('e'), "server-error", "refuses")]),
        (
            "n,,n=a=2c,r=abc",
            &[
                (Some('n'), "gs2-cbind-flag", ""),
                (Some('n'), "username", "escape is wrong"),
                (Some('r'), "nonce", ""),
                (None, "fault", "bad escape"),
            ],
        ),
        ("hello", &[(None, "fault", "GS2 header")]),
        ("", &[(None, "fault", "GS2 header")]),
    ];
    for (message, expected) in cases {
        let attributes = explain(message);
        let got: Vec<_> = attributes.iter().map(|a| (a.letter, a.name)).collect();
        let wanted: Vec<_> = expected.iter().map(|(letter, name, _)| (*letter, *name)).collect();
        assert_eq!(got, wanted, "{message}");
        for (attribute, (_, _, part)) in attributes.iter().zip(*expected) {
            assert!(attribute.meaning.contains(part), "{message}: {}", attribute.meaning);
        }
    }
}

/// Letter, name, and a part of the meaning.
type Explained = (Option<char>, &'static str, &'static str);

fn verifier() -> Verifier {
    VERIFIER.parse().expect("a verifier")
}
