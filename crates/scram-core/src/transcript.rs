//! Finds the step at which a recorded exchange fails.

use subtle::ConstantTimeEq;

use crate::message::{ClientFinal, ClientFirst, Fault, Gs2Flag, ServerFinal, ServerFirst};
use crate::server::AuthMessage;
use crate::verifier::Verifier;

/// The messages of a recorded exchange.
#[derive(Clone, Copy, Debug)]
pub struct Transcript<'a> {
    /// Client-first.
    pub client_first: &'a [u8],
    /// Server-first.
    pub server_first: &'a [u8],
    /// Client-final.
    pub client_final: &'a [u8],
    /// Server-final, if it was recorded.
    pub server_final: Option<&'a [u8]>,
    /// The channel-binding data of the connection, if it is known.
    pub binding_data: Option<&'a [u8]>,
}

/// One check of a transcript.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TranscriptCheck {
    /// Which message it looks at, 1 to 4.
    pub step: u32,
    /// The name of the check.
    pub name: &'static str,
    /// Whether it succeeded; `None` if the messages do not tell.
    pub ok: Option<bool>,
    /// The result in words.
    pub detail: String,
}

impl Transcript<'_> {
    /// Every check in the order of the exchange, up to the first that fails: later ones have no
    /// meaning then.
    pub fn check(&self, verifier: &Verifier) -> Vec<TranscriptCheck> {
        let mut checks = Checks::default();
        // An Err only ends the list, which holds the failed check already.
        let _ = self.run(verifier, &mut checks);
        checks.list
    }

    fn run(&self, verifier: &Verifier, checks: &mut Checks) -> Result<(), Stop> {
        let mechanism = verifier.mechanism();

        checks.step = 1;
        let first = checks.parsed(ClientFirst::from_wire(self.client_first))?;

        checks.step = 2;
        let server = checks.parsed(ServerFirst::from_wire(self.server_first))?;
        let server_first = str::from_utf8(self.server_first).map_err(|_| Stop)?;
        let server_nonce = server.nonce.strip_prefix(first.nonce);
        checks.add(
            "nonce",
            server_nonce.is_some_and(|nonce| !nonce.is_empty()),
            "the client's nonce and more behind it",
            match server_nonce {
                Some(_) => "the server added nothing to the client's nonce",
                None => "does not start with the client's nonce: another exchange",
            },
        )?;
        checks.add(
            "salt",
            server.salt == verifier.salt(),
            "the verifier's",
            "not the verifier's: unknown user, or another password since",
        )?;
        checks.add(
            "iterations",
            server.iterations == verifier.iterations(),
            "the verifier's",
            "not the verifier's: unknown user, or another password since",
        )?;

        checks.step = 3;
        let last = checks.parsed(ClientFinal::from_wire(self.client_final, mechanism))?;
        self.check_binding(&first, &last, checks)?;
        checks.add(
            "nonce",
            last.nonce == server.nonce,
            "the one of server-first",
            "not the one of server-first: another exchange",
        )?;
        let auth_message = AuthMessage {
            client_first_bare: first.bare,
            server_first,
            client_final_without_proof: last.without_proof,
        };
        checks.add(
            "proof",
            verifier.check_proof(&auth_message, &last.proof).into(),
            "the client knows the password",
            self.wrong_proof(verifier, &auth_message, &last, &first),
        )?;

        let Some(server_final) = self.server_final else { return Ok(()) };
        checks.step = 4;
        match checks.parsed(ServerFinal::from_wire(server_final, mechanism))? {
            ServerFinal::Error(value) => {
                checks.fail("outcome", &format!("the server refuses: {value}"))
            }
            ServerFinal::Signature(signature) => {
                let ServerFinal::Signature(expected) = verifier.sign(&auth_message) else {
                    return Err(Stop);
                };
                checks.add(
                    "server signature",
                    signature.ct_eq(&expected).into(),
                    "the server knows the verifier",
                    "not of the verifier's ServerKey: another verifier or server",
                )
            }
        }
    }

    /// `c=` is the GS2 header of client-first and the data of the channel.
    fn check_binding(
        &self,
        first: &ClientFirst<'_>,
        last: &ClientFinal<'_>,
        checks: &mut Checks,
    ) -> Result<(), Stop> {
        let data = last.cbind_input.strip_prefix(first.gs2_header.as_bytes());
        checks.add(
            "GS2 header",
            data.is_some(),
            "the one of client-first",
            "c= does not repeat client-first's: changed on the way",
        )?;
        let data = data.unwrap_or_default();
        let name = "channel binding";
        match (first.flag, self.binding_data) {
            (Gs2Flag::Unsupported | Gs2Flag::NotOffered, _) => checks.add(
                name,
                data.is_empty(),
                "none, as client-first says",
                "data in c= although client-first says that there is none",
            ),
            (Gs2Flag::Required(_), None) if data.is_empty() => {
                checks.fail(name, "no data in c= although client-first requires it")
            }
            (Gs2Flag::Required(_), None) => {
                checks.push(name, None, "not compared: give channel_binding_data");
                Ok(())
            }
            (Gs2Flag::Required(_), Some(expected)) => checks.add(
                name,
                data == expected,
                "the data of the connection",
                "not the connection's: another TLS session or certificate",
            ),
        }
    }

    /// Tries the mistakes that clients are known to make.
    fn wrong_proof(
        &self,
        verifier: &Verifier,
        right: &AuthMessage<'_>,
        last: &ClientFinal<'_>,
        first: &ClientFirst<'_>,
    ) -> &'static str {
        let whole = |message| str::from_utf8(message).unwrap_or_default();
        let unescaped = format!("n={},r={}", first.username, first.nonce)
            .replace("=2C", ",")
            .replace("=3D", "=");
        let mistakes = [
            (
                AuthMessage { client_first_bare: whole(self.client_first), ..*right },
                "made with the GS2 header in AuthMessage, where it has no place",
            ),
            (
                AuthMessage { client_final_without_proof: whole(self.client_final), ..*right },
                "made with the proof in AuthMessage, where it has no place",
            ),
            (
                AuthMessage { client_first_bare: &unescaped, ..*right },
                "made with client-first in other words than sent: sign the message as sent",
            ),
        ];
        mistakes
            .into_iter()
            .find(|(message, _)| verifier.check_proof(message, &last.proof).into())
            .map_or("another password, or a message was changed on the way", |(_, why)| why)
    }
}

/// A check has failed.
struct Stop;

#[derive(Default)]
struct Checks {
    step: u32,
    list: Vec<TranscriptCheck>,
}

impl Checks {
    fn push(&mut self, name: &'static str, ok: Option<bool>, detail: &str) {
        self.list.push(TranscriptCheck { step: self.step, name, ok, detail: detail.to_owned() });
    }

    fn fail(&mut self, name: &'static str, detail: &str) -> Result<(), Stop> {
        self.push(name, Some(false), detail);
        Err(Stop)
    }

    fn add(&mut self, name: &'static str, ok: bool, right: &str, wrong: &str) -> Result<(), Stop> {
        self.push(name, Some(ok), if ok { right } else { wrong });
        if ok { Ok(()) } else { Err(Stop) }
    }

    fn parsed<T>(&mut self, message: Result<T, Fault>) -> Result<T, Stop> {
        let name = "syntax";
        match message {
            Ok(message) => {
                self.push(name, Some(true), "well formed");
                Ok(message)
            }
            Err(fault) => {
                self.push(name, Some(false), &fault.to_string());
                Err(Stop)
            }
        }
    }
}
