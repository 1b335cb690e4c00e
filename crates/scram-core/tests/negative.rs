//! Malformed and hostile input, and the reaction it must get.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use scram_core::channel_binding::{BindingType, ChannelBinding};
use scram_core::message::{ClientFirst, ServerFirst};
use scram_core::server::{Challenge, Credential, Outcome, Request, Terms};
use scram_core::{Mechanism, Selection, Verifier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    target: String,
    input: Option<String>,
    input_hex: Option<String>,
    rfc_error: Option<String>,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    server: Option<String>,
    format: Option<String>,
    client_first: Option<String>,
    server_first: Option<String>,
    verifier: Option<String>,
    state: Option<String>,
    cbind_type: Option<String>,
    cbind_data_b64: Option<String>,
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        match (&self.input, &self.input_hex) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(digits)) => hex::decode(digits).expect("hexadecimal"),
            (None, None) => panic!("{}: no input", self.name),
        }
    }
}

fn cases(target: &str, count: usize) -> Vec<Case> {
    let all: Vec<Case> =
        serde_json::from_str(include_str!("testdata/negative.json")).expect("negative.json");
    let cases: Vec<_> = all.into_iter().filter(|case| case.target == target).collect();
    assert_eq!(cases.len(), count, "{target}");
    cases
}

#[test]
fn verifiers() {
    for case in cases("verifier", 64) {
        let text = case.input.as_deref().expect("text");
        let read = text.parse::<Verifier>();
        // Well formed, but deriving keys for it must be refused; a separate limit does that.
        let huge = case.name == "v-iterations-huge";
        assert_eq!(read.is_ok(), huge, "{} ({:?})", case.name, case.context.format);
    }
}

#[test]
fn client_first() {
    for case in cases("client_first", 57) {
        let binding = ChannelBinding { kind: BindingType::TlsServerEndPoint, data: vec![7; 32] };
        let (plus, binding) = match case.context.server.as_deref() {
            Some("SCRAM-SHA-256, server has no channel binding") => (false, None),
            Some("SCRAM-SHA-256-PLUS offered, only tls-server-end-point supported") => {
                (true, Some(binding))
            }
            Some("server advertised SCRAM-SHA-256-PLUS, client selected SCRAM-SHA-256") => {
                (false, Some(binding))
            }
            other => panic!("{}: {other:?}", case.name),
        };
        let selection = Selection { mechanism: Mechanism::ScramSha256, plus };
        let terms = Terms::new(selection, binding).expect("terms");
        let fault = Request::from_wire(&case.bytes(), &terms, None).expect_err(&case.name);
        assert_eq!(Some(fault.value().as_str()), case.rfc_error.as_deref(), "{}", case.name);
    }
}

#[test]
fn client_final() {
    let mut seen = 0;
    for case in cases("client_final", 56) {
        let usable = match case.context.state.as_deref() {
            // `finish` consumes the challenge and there is none without a request: both cases do
            // not compile. The age of a state is tested with the seal.
            Some("exchange already finished" | "no client-first received") => continue,
            Some(state) if state.contains("timeout") => continue,
            Some(_) => false,
            None => true,
        };
        seen += 1;
        let verifier: Verifier =
            case.context.verifier.as_deref().expect("verifier").parse().expect(&case.name);
        let outcome = challenge(&case, &verifier)
            .finish(&case.bytes(), &[Credential::new(&verifier, usable)]);
        let Outcome::Refused { error, .. } = outcome else { panic!("{} is accepted", case.name) };
        assert_eq!(Some(error.as_str()), case.rfc_error.as_deref(), "{}", case.name);
    }
    assert_eq!(seen, 53);
}

/// The exchange of the case up to server-first.
fn challenge(case: &Case, verifier: &Verifier) -> Challenge {
    let client_first = case.context.client_first.as_deref().expect("client-first").as_bytes();
    let binding = case.context.cbind_type.as_ref().map(|kind| ChannelBinding {
        kind: kind.parse().expect("a type"),
        data: STANDARD.decode(case.context.cbind_data_b64.as_ref().expect("data")).expect("base64"),
    });
    let selection = Selection { mechanism: verifier.mechanism(), plus: binding.is_some() };
    let terms = Terms::new(selection, binding).expect("terms");
    let request = Request::from_wire(client_first, &terms, None).expect(&case.name);
    let first = ClientFirst::from_wire(client_first).expect("client-first");
    let server_first = case.context.server_first.as_deref().expect("server-first");
    let server = ServerFirst::from_wire(server_first.as_bytes()).expect("server-first");
    let server_nonce = server.nonce.strip_prefix(first.nonce).expect("the client's nonce");
    let challenge = request.challenge(verifier.parameters(), server_nonce);
    assert_eq!(challenge.server_first(), server_first, "{}", case.name);
    challenge
}
