//! Exchanges as a whole: one thing wrong at a time, sealed states, mocks.

use std::num::NonZeroU32;

use scram_core::channel_binding::{BindingType, ChannelBinding};
use scram_core::derivation::RootKey;
use scram_core::message::{ErrorValue, Fault};
use scram_core::mock::{self, Account};
use scram_core::server::{Challenge, Credential, Outcome, Request, Terms};
use scram_core::state::{Seal, SealError, State};
use scram_core::{Mechanism, Parameters, Password, Selection, Verifier};

// RFC 7677 section 3.
const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const FINAL: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                     p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SERVER_FINAL: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
const VERIFIER: &str = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
    $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

#[test]
fn outcomes() {
    let refused = |error, fault| Outcome::Refused { error, fault };
    let cases = [
        ("RFC 7677 section 3", FINAL.to_owned(), accepted(1)),
        (
            "one bit of the proof",
            FINAL.replace("p=d", "p=e"),
            refused(ErrorValue::InvalidProof, None),
        ),
        (
            "short proof",
            FINAL.replace("AndVQ=", ""),
            refused(ErrorValue::InvalidEncoding, Some(Fault::Proof)),
        ),
        (
            "another nonce",
            FINAL.replace("k0,", "k1,"),
            refused(ErrorValue::OtherError, Some(Fault::Nonce)),
        ),
        (
            "another GS2 header",
            FINAL.replace("biws", "eSws"),
            refused(ErrorValue::ChannelBindingsDontMatch, Some(Fault::BindingMismatch)),
        ),
        (
            "a mandatory extension",
            FINAL.replace(",p=", ",m=x,p="),
            refused(ErrorValue::ExtensionsNotSupported, Some(Fault::MandatoryExtension)),
        ),
    ];
    for (name, message, expected) in cases {
        let outcome = challenge().finish(message.as_bytes(), &[Credential::new(&verifier(), true)]);
        assert_eq!(outcome, expected, "{name}");
    }
}

#[test]
fn every_changed_byte_is_refused() {
    let verifier = verifier();
    for position in 0..FINAL.len() {
        for byte in 0..=255 {
            let mut message = FINAL.as_bytes().to_vec();
            if message[position] == byte {
                continue;
            }
            message[position] = byte;
            let outcome = challenge().finish(&message, &[Credential::new(&verifier, true)]);
            assert!(
                matches!(outcome, Outcome::Refused { .. }),
                "byte {position} of client-final as {byte} is accepted"
            );
        }
    }
    for position in 0..FIRST.len() {
        for byte in 0..=255 {
            let mut message = FIRST.as_bytes().to_vec();
            if message[position] == byte {
                continue;
            }
            message[position] = byte;
            // Another name, nonce or flag is a message in order; its exchange is another one.
            let Ok(request) = Request::from_wire(&message, &terms(), None) else { continue };
            let outcome = request
                .challenge(verifier.parameters(), SERVER_NONCE)
                .finish(FINAL.as_bytes(), &[Credential::new(&verifier, true)]);
            assert!(
                matches!(outcome, Outcome::Refused { .. }),
                "byte {position} of client-first as {byte} is accepted"
            );
        }
    }
    let server_first = challenge().server_first().to_owned();
    let (nonce, rest) = server_first.split_once(",s=").expect("a salt");
    for position in 0..SERVER_NONCE.len() {
        let mut changed = SERVER_NONCE.as_bytes().to_vec();
        changed[position] ^= 1;
        let changed = String::from_utf8(changed).expect("ASCII");
        let outcome = Request::from_wire(FIRST.as_bytes(), &terms(), None)
            .expect("client-first")
            .challenge(verifier.parameters(), &changed)
            .finish(FINAL.as_bytes(), &[Credential::new(&verifier, true)]);
        assert!(matches!(outcome, Outcome::Refused { .. }), "{nonce} {rest}");
    }
}

#[test]
fn two_credentials() {
    let old = verifier();
    let parameters = old.parameters().clone();
    let new = Verifier::derive(parameters, &Password::prepare(b"new"), || {});
    let cases = [
        ("the first", [(&old, true), (&new, true)], accepted(1)),
        ("the second", [(&new, true), (&old, true)], accepted(2)),
        ("both the same", [(&old, true), (&old, true)], accepted(1)),
        ("the first can't be used", [(&old, false), (&old, true)], accepted(2)),
        ("neither can be used", [(&old, false), (&old, false)], wrong_proof()),
        ("neither is it", [(&new, true), (&new, true)], wrong_proof()),
    ];
    for (name, credentials, expected) in cases {
        let credentials = credentials.map(|(verifier, usable)| Credential::new(verifier, usable));
        assert_eq!(challenge().finish(FINAL.as_bytes(), &credentials), expected, "{name}");
    }
}

#[test]
fn channel_binding() {
    let bound = |kind| Some(ChannelBinding { kind, data: vec![1, 2, 3] });
    let cases = [
        ("n, none offered", "n,,", false, None, None),
        ("n, offered", "n,,", false, bound(BindingType::TlsExporter), None),
        ("y, none offered", "y,,", false, None, None),
        ("y, offered", "y,,", false, bound(BindingType::TlsExporter), Some(Fault::BindingOffered)),
        ("p", "p=tls-exporter,,", true, bound(BindingType::TlsExporter), None),
        (
            "p of another type",
            "p=tls-unique,,",
            true,
            bound(BindingType::TlsExporter),
            Some(Fault::BindingType),
        ),
        (
            "p, not selected",
            "p=tls-unique,,",
            false,
            bound(BindingType::TlsUnique),
            Some(Fault::BindingUnselected),
        ),
        ("p, none offered", "p=tls-unique,,", false, None, Some(Fault::BindingNotOffered)),
        ("n in -PLUS", "n,,", true, bound(BindingType::TlsUnique), Some(Fault::BindingOffered)),
        ("authzid is the user", "n,a=user,", false, None, None),
        ("authzid is another", "n,a=root,", false, None, Some(Fault::AuthzidNotUser)),
    ];
    for (name, header, plus, binding, expected) in cases {
        let selection = Selection { mechanism: Mechanism::ScramSha256, plus };
        let terms = Terms::new(selection, binding).expect(name);
        let message = format!("{header}n=user,r=abc");
        let got = Request::from_wire(message.as_bytes(), &terms, None).err();
        assert_eq!(got, expected, "{name}");
    }
    assert!(Terms::new("SCRAM-SHA-1-PLUS".parse().expect("a name"), None).is_err());
}

#[test]
fn usernames() {
    let cases: &[(&str, Option<&str>, Result<&str, Fault>)] = &[
        ("n=user", None, Ok("user")),
        ("n=a=2Cb=3Dc", None, Ok("a,b=c")),
        ("n==3D2C", None, Ok("=2C")),
        ("n=ü", None, Ok("ü")),
        ("n=\u{1F600}", None, Ok("\u{1F600}")),
        ("n=", None, Err(Fault::UsernameEmpty)),
        ("n=", Some("startup"), Ok("startup")),
        ("n=other", Some("startup"), Ok("startup")),
        ("n=a=2c", Some("startup"), Err(Fault::UsernameEncoding)),
        ("n=a\u{7}b", None, Err(Fault::UsernameEncoding)),
        ("n=a\u{7}b", Some("startup"), Ok("startup")),
        ("n=\u{627}1", None, Err(Fault::UsernameEncoding)),
    ];
    for (attribute, given, expected) in cases {
        let message = format!("n,,{attribute},r=abc");
        let request = Request::from_wire(message.as_bytes(), &terms(), *given);
        let got = request.as_ref().map(Request::username).map_err(|fault| *fault);
        assert_eq!(got, *expected, "{attribute} with {given:?}");
    }
}

#[test]
fn sealed_state() {
    let seal = Seal::new(secret(1).key(&[b"purpose"]));
    let digest = seal.digest(VERIFIER);
    let state = State {
        issued_at: 1_000_000,
        challenge: challenge(),
        digests: [digest.clone(), seal.digest("another")],
    };
    let sealed = seal.seal(&state).expect("a state");

    let opened = seal.open(&sealed).expect("the state");
    assert_eq!(opened.challenge, challenge());
    assert!(opened.knows(&digest));
    assert!(opened.knows(&seal.digest("another")));
    assert!(!opened.knows(&seal.digest("a third")));
    assert!(!opened.is_expired(61_000_000, 60_000_000));
    assert!(opened.is_expired(61_000_001, 60_000_000));
    assert!(opened.is_expired(-59_000_001, 60_000_000), "a clock that ran backwards");

    for position in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[position] ^= 1;
        assert_eq!(seal.open(&altered).err(), Some(SealError), "bit 0 of byte {position}");
        assert_eq!(seal.open(&sealed[..position]).err(), Some(SealError), "cut at {position}");
    }
    let others =
        [secret(1).key(&[b"another purpose"]), secret(2).key(&[b"purpose"])].map(Seal::new);
    for other in others {
        assert_eq!(other.open(&sealed).err(), Some(SealError));
        assert!(!opened.knows(&other.digest(VERIFIER)));
    }
    assert!(!sealed.windows(VERIFIER.len()).any(|window| window == VERIFIER.as_bytes()));
}

#[test]
fn mocks() {
    let iterations = NonZeroU32::new(4096).expect("a count");
    let account = |realm, name, mechanism| Account { realm, name, mechanism };
    let mock = |secret, account, salt_len| {
        mock::verifier(&secret, account, iterations, salt_len).expect("a verifier")
    };
    let ghost = account(b"app", b"ghost", Mechanism::ScramSha256);
    let first = mock(secret(1), ghost, 16);
    assert_eq!(first.salt().len(), 16);
    assert_eq!(first.to_string(), mock(secret(1), ghost, 16).to_string(), "stable");
    for other in [
        account(b"app", b"ghosts", Mechanism::ScramSha256),
        account(b"apps", b"ghost", Mechanism::ScramSha256),
        account(b"appg", b"host", Mechanism::ScramSha256),
        account(b"app", b"ghost", Mechanism::ScramSha1),
        account(b"app", b"ghost", Mechanism::ScramSha512),
    ] {
        assert_ne!(first.salt(), mock(secret(1), other, 16).salt(), "{other:?}");
    }
    assert_ne!(first.salt(), mock(secret(2), ghost, 16).salt(), "another cluster");
    for salt_len in [1, 16, 28, 32, 33, 100, 200] {
        assert_eq!(mock(secret(1), ghost, salt_len).salt().len(), salt_len);
    }
    assert!(mock::verifier(&secret(1), ghost, iterations, usize::MAX).is_err());
    for mechanism in Mechanism::ALL {
        let text = mock(secret(1), account(b"app", b"ghost", mechanism), 16).to_string();
        assert!(text.parse::<Verifier>().is_ok(), "{mechanism}: one like any other");
    }
}

/// Test case 3 of RFC 5869, appendix A: no salt; the info is empty there, and here it is not framed.
#[test]
fn derived_bytes_are_hkdf() {
    let root = RootKey::new(&[0x0b; 22]);
    let expected =
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    let found: String = root.bytes(&[], 42).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, expected);
    // Framed: no two lists of strings are one input.
    assert_ne!(*root.bytes(&[b"ab", b"c"], 32), *root.bytes(&[b"a", b"bc"], 32));
    assert_ne!(*root.bytes(&[b"abc"], 32), *root.bytes(&[b"abc", b""], 32));
}

fn challenge() -> Challenge {
    Request::from_wire(FIRST.as_bytes(), &terms(), None)
        .expect("client-first")
        .challenge(verifier().parameters(), SERVER_NONCE)
}

fn terms() -> Terms {
    Terms::new(Mechanism::ScramSha256.into(), None).expect("terms")
}

fn verifier() -> Verifier {
    VERIFIER.parse().expect("a verifier")
}

fn accepted(matched: u32) -> Outcome {
    Outcome::Accepted { server_final: SERVER_FINAL.to_owned(), matched }
}

fn wrong_proof() -> Outcome {
    Outcome::Refused { error: ErrorValue::InvalidProof, fault: None }
}

fn secret(byte: u8) -> RootKey {
    RootKey::new(&[byte; 32])
}

#[test]
fn parameters_are_bounded() {
    let new = |mechanism, iterations, salt: usize| {
        Parameters::new(mechanism, NonZeroU32::new(iterations).expect("a count"), vec![1; salt])
    };
    assert!(new(Mechanism::ScramSha256, 4096, 0).is_err());
    assert!(new(Mechanism::ScramSha256, 1 << 31, 16).is_err());
    assert!(new(Mechanism::ScramSha512, (1 << 31) - 1, 1024).is_ok());
    assert!(new(Mechanism::ScramSha512, 4096, 1025).is_err());
    // The longest salt that makes a verifier of at most 512 bytes, and one byte more.
    let longest =
        (1..1024).take_while(|len| new(Mechanism::ScramSha256, 4096, *len).is_ok()).count();
    let text = |len| {
        let parameters = new(Mechanism::ScramSha256, 4096, len).expect("parameters");
        Verifier::derive(parameters, &Password::prepare(b"x"), || {}).to_string()
    };
    assert!((509..=512).contains(&text(longest).len()), "{}", text(longest).len());
}
