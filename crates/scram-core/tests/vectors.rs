//! Verifiers and exchanges that other implementations agree on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scram_core::channel_binding::ChannelBinding;
use scram_core::client::Client;
use scram_core::message::{ClientFirst, ServerFirst};
use scram_core::server::{Credential, Outcome, Request, Terms};
use scram_core::{Mechanism, Parameters, Password, Selection, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Vector {
    name: String,
    mechanism: String,
    password_hex: String,
    normalized_password_hex: String,
    preparation: String,
    salt_b64: String,
    iterations: u32,
    client_key_b64: String,
    stored_key_b64: String,
    server_key_b64: String,
    postgres_verifier: Option<String>,
    username: Option<String>,
    authzid: Option<String>,
    cbind_type: Option<String>,
    cbind_data_b64: Option<String>,
    client_first: Option<String>,
    server_first: Option<String>,
    client_final: Option<String>,
    server_final: Option<String>,
}

impl Vector {
    fn selection(&self) -> Option<Selection> {
        self.mechanism.parse().ok()
    }

    /// The password as the vector's author hashed it: prepared, or left as it is.
    fn password(&self) -> Password {
        let raw = match self.preparation.as_str() {
            "saslprep" | "raw-fallback" => &self.password_hex,
            // MongoDB's digest is ASCII; the other is what `n` of the test below pins.
            _ => &self.normalized_password_hex,
        };
        Password::prepare(&hex::decode(raw).expect("hexadecimal"))
    }

    fn verifier(&self, mechanism: Mechanism) -> Verifier {
        let salt = STANDARD.decode(&self.salt_b64).expect("salt");
        let iterations = self.iterations.try_into().expect("iterations");
        let parameters = Parameters::new(mechanism, iterations, salt).expect(&self.name);
        Verifier::derive(parameters, &self.password(), || {})
    }

    fn binding(&self) -> Option<ChannelBinding> {
        let kind = self.cbind_type.as_ref()?.parse().expect("a type");
        let data = self.cbind_data_b64.as_ref().expect("data");
        Some(ChannelBinding { kind, data: STANDARD.decode(data).expect("data") })
    }
}

/// Vectors of the mechanisms that are supported; those of the others must be refused by name.
fn vectors() -> Vec<(Vector, Selection)> {
    let all: Vec<Vector> =
        serde_json::from_str(include_str!("testdata/vectors.json")).expect("vectors.json");
    assert_eq!(all.len(), 120);
    let (known, unknown): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|vector| vector.selection().is_some());
    let unknown: Vec<_> = unknown.iter().map(|vector| vector.mechanism.as_str()).collect();
    assert_eq!(unknown, ["SCRAM-SHA3-512", "SCRAM-SHA-224", "SCRAM-SHA-384", "SCRAM-SHA3-512"]);
    known
        .into_iter()
        .map(|vector| {
            let selection = vector.selection().expect("a mechanism");
            (vector, selection)
        })
        .collect()
}

#[test]
fn keys() {
    for (vector, Selection { mechanism, .. }) in vectors() {
        // Skip vectors without SASLprep: the core always prepares a password, so it cannot make
        // their keys.
        if vector.preparation.starts_with("none") {
            continue;
        }
        let prepared = vector.password();
        assert_eq!(
            prepared.as_bytes(),
            hex::decode(&vector.normalized_password_hex).expect("hexadecimal"),
            "{}",
            vector.name
        );
        let verifier = vector.verifier(mechanism);
        let salted = verifier.parameters().salted_password(&prepared, || {});
        let got = [
            salted.client_key().as_bytes().to_vec(),
            verifier.stored_key().as_bytes().to_vec(),
            verifier.server_key().as_bytes().to_vec(),
        ]
        .map(|key| STANDARD.encode(key));
        let expected = [&vector.client_key_b64, &vector.stored_key_b64, &vector.server_key_b64];
        assert_eq!(got.each_ref(), expected, "{}", vector.name);
        assert!(verifier.verify(&prepared, || {}), "{}", vector.name);
        assert!(!verifier.verify(&Password::prepare(b"another"), || {}), "{}", vector.name);
    }
}

#[test]
fn stored_form() {
    let mut seen = 0;
    for (vector, Selection { mechanism, .. }) in vectors() {
        let Some(text) = &vector.postgres_verifier else { continue };
        seen += 1;
        let verifier: Verifier = text.parse().expect(&vector.name);
        assert_eq!(verifier.to_string(), *text, "{}", vector.name);
        assert_eq!(vector.verifier(mechanism).to_string(), *text, "{}", vector.name);
    }
    assert!(seen >= 70, "only {seen} vectors have a stored form");
}

#[test]
fn exchanges() {
    let mut seen = 0;
    for (vector, selection) in vectors() {
        let (Some(client_first), Some(server_first), Some(client_final), Some(server_final)) = (
            &vector.client_first,
            &vector.server_first,
            &vector.client_final,
            &vector.server_final,
        ) else {
            continue;
        };
        if vector.preparation.starts_with("none") {
            continue;
        }
        seen += 1;
        let name = &vector.name;
        let verifier = vector.verifier(selection.mechanism);
        let terms = Terms::new(selection, vector.binding()).expect(name);
        // An authorization identity is accepted for the user himself only; libpq sends no name.
        let username = vector.authzid.as_deref().or_else(|| {
            client_first.contains(",n=,").then_some(vector.username.as_deref().unwrap_or("user"))
        });
        let request = Request::from_wire(client_first.as_bytes(), &terms, username).expect(name);
        let server_nonce = server_nonce(client_first, server_first);
        let challenge = request.challenge(verifier.parameters(), &server_nonce);
        assert_eq!(challenge.server_first(), server_first, "{name}");
        let credentials = [Credential::new(&verifier, true)];
        let outcome = challenge.finish(client_final.as_bytes(), &credentials);
        let expected = Outcome::Accepted { server_final: server_final.clone(), matched: 1 };
        assert_eq!(outcome, expected, "{name}");
    }
    assert_eq!(seen, 30, "exchanges in vectors.json");
}

/// The client's side, for the exchanges that it can play: no authorization identity, no extension,
/// no flag `y`.
#[test]
fn client() {
    let mut seen = 0;
    for (vector, selection) in vectors() {
        let (Some(client_first), Some(server_first)) = (&vector.client_first, &vector.server_first)
        else {
            continue;
        };
        let first = ClientFirst::from_wire(client_first.as_bytes()).expect(&vector.name);
        let client =
            Client::start(selection, vector.binding().as_ref(), &first.username, first.nonce)
                .expect(&vector.name);
        if client.client_first() != client_first || vector.preparation.starts_with("none") {
            continue;
        }
        let answer = client.answer(server_first, &vector.password(), || {}).expect(&vector.name);
        if Some(answer.client_final()) != vector.client_final.as_deref() {
            assert_eq!(vector.name, "hs-sha256-ext-final", "only an extension may differ");
            continue;
        }
        seen += 1;
        let server_final = vector.server_final.as_deref().expect("server-final");
        assert_eq!(answer.finish(server_final), Ok(()), "{}", vector.name);
    }
    assert!(seen >= 20, "only {seen} exchanges were played");
}

/// The part of the nonce that the server appended to the client's.
fn server_nonce(client_first: &str, server_first: &str) -> String {
    let client = ClientFirst::from_wire(client_first.as_bytes()).expect("client-first");
    let server = ServerFirst::from_wire(server_first.as_bytes()).expect("server-first");
    server.nonce.strip_prefix(client.nonce).expect("the client's nonce").to_owned()
}
