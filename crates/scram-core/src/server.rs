//! The server's side of an exchange: client-first in, challenge out, client-final in, outcome out.
//!
//! Each step consumes the previous one, so that steps in the wrong order do not compile. Randomness
//! is an argument. The state between the messages can be sealed ([`crate::state`]).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::channel_binding::ChannelBinding;
use crate::keys::Key;
use crate::mechanism::{Mechanism, Selection};
use crate::message::{
    ClientFinal, ClientFirst, ErrorValue, Fault, Gs2Flag, ServerFinal, ServerFirst,
};
use crate::saslprep;
use crate::verifier::{Parameters, Verifier};

/// The mechanism and the channel binding that front end and client agreed on before the first
/// message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Terms {
    selection: Selection,
    binding: Option<ChannelBinding>,
}

impl Terms {
    /// `binding` is given if the front end offered a `-PLUS` mechanism, whether or not the client
    /// selected it.
    ///
    /// # Errors
    ///
    /// [`BindingMissing`] if a `-PLUS` mechanism was selected that could not have been offered.
    pub fn new(
        selection: Selection,
        binding: Option<ChannelBinding>,
    ) -> Result<Self, BindingMissing> {
        if selection.plus && binding.is_none() {
            return Err(BindingMissing);
        }
        Ok(Self { selection, binding })
    }
}

/// A `-PLUS` mechanism needs type and data of the channel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("a -PLUS mechanism needs channel-binding type and data")]
pub struct BindingMissing;

/// A client-first-message that is in order: now look the user up.
#[derive(Clone, Debug)]
pub struct Request {
    mechanism: Mechanism,
    username: String,
    client_first_bare: String,
    client_nonce: String,
    cbind_input: Vec<u8>,
}

impl Request {
    /// Reads client-first.
    ///
    /// `username`: the user, where the front end knows it by other means (PostgreSQL's start-up
    /// packet); `n=` may then be empty and is not looked at. `None`: the user is `n=`.
    ///
    /// # Errors
    ///
    /// The first [`Fault`] found; the exchange is over.
    pub fn from_wire(
        client_first: &[u8],
        terms: &Terms,
        username: Option<&str>,
    ) -> Result<Self, Fault> {
        let first = ClientFirst::from_wire(client_first)?;
        let mut cbind_input = first.gs2_header.as_bytes().to_vec();
        match (first.flag, &terms.binding, terms.selection.plus) {
            (Gs2Flag::Required(_), None, _) => return Err(Fault::BindingNotOffered),
            (Gs2Flag::Required(_), Some(_), false) => return Err(Fault::BindingUnselected),
            (Gs2Flag::Required(kind), Some(binding), true) => {
                if kind != binding.kind.name() {
                    return Err(Fault::BindingType);
                }
                cbind_input.extend_from_slice(&binding.data);
            }
            (Gs2Flag::NotOffered, Some(_), _) | (Gs2Flag::Unsupported, _, true) => {
                return Err(Fault::BindingOffered);
            }
            (Gs2Flag::NotOffered, None, _) | (Gs2Flag::Unsupported, _, false) => {}
        }
        let username = match username {
            Some(username) => username.to_owned(),
            None => checked_username(first.username)?,
        };
        // A user may not act for another one, so the authorization identity must be the user.
        if first.authzid.is_some_and(|authzid| authzid != username) {
            return Err(Fault::AuthzidNotUser);
        }
        Ok(Self {
            mechanism: terms.selection.mechanism,
            username,
            client_first_bare: first.bare.to_owned(),
            client_nonce: first.nonce.to_owned(),
            cbind_input,
        })
    }

    /// The user, decoded, as it was sent (not prepared).
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The mechanism that the user's verifier must have.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Answers with the parameters of the user's verifier, or of a [`crate::mock`].
    ///
    /// `server_nonce`: at least 18 random bytes in Base64, new for each exchange.
    #[must_use]
    pub fn challenge(self, parameters: &Parameters, server_nonce: &str) -> Challenge {
        let salt = STANDARD.encode(parameters.salt());
        let iterations = parameters.iterations().get().cast_signed();
        self.challenge_verbatim(&salt, iterations, server_nonce)
    }

    /// Answers with salt and count as another server stores them. PostgreSQL sends the contents of
    /// pg_authid, even Base64 that is not canonical and a count of 0.
    #[must_use]
    pub fn challenge_verbatim(self, salt: &str, iterations: i32, server_nonce: &str) -> Challenge {
        let nonce = format!("{}{server_nonce}", self.client_nonce);
        Challenge {
            mechanism: self.mechanism,
            username: self.username,
            client_first_bare: self.client_first_bare,
            server_first: ServerFirst::write(&nonce, salt, iterations),
            nonce,
            cbind_input: self.cbind_input,
        }
    }
}

/// A user name from the wire: not empty, and one that SASLprep allows (RFC 5802 section 5.1).
fn checked_username(username: String) -> Result<String, Fault> {
    if username.is_empty() {
        return Err(Fault::UsernameEmpty);
    }
    if !saslprep::is_name(&username) {
        return Err(Fault::UsernameEncoding);
    }
    Ok(username)
}

/// An exchange between server-first and client-final. Holds no key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Challenge {
    pub(crate) mechanism: Mechanism,
    pub(crate) username: String,
    pub(crate) client_first_bare: String,
    pub(crate) server_first: String,
    /// The client's nonce and the server's.
    pub(crate) nonce: String,
    /// GS2 header and channel-binding data: the expected value of `c=`.
    pub(crate) cbind_input: Vec<u8>,
}

impl Challenge {
    /// The message to send.
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// The user, decoded.
    pub fn username(&self) -> &str {
        &self.username
    }

    /// The mechanism of the exchange.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Reads client-final and checks the proof against every credential.
    ///
    /// All parsing comes before any key is used, and an unusable credential is computed like any
    /// other. So a caller that always passes the same number of credentials spends the same time on
    /// known and unknown users. Parsing rejects a proof of another mechanism, because its length
    /// differs.
    pub fn finish(self, client_final: &[u8], credentials: &[Credential<'_>]) -> Outcome {
        self.finish_passthrough(client_final, credentials).0
    }

    /// The same, with the keys that the proof of an accepted client gives away.
    pub fn finish_passthrough(
        self,
        client_final: &[u8],
        credentials: &[Credential<'_>],
    ) -> (Outcome, Option<PassthroughKeys>) {
        let message = match self.parse_client_final(client_final) {
            Ok(message) => message,
            Err(fault) => {
                return (Outcome::Refused { error: fault.value(), fault: Some(fault) }, None);
            }
        };
        let auth_message = AuthMessage {
            client_first_bare: &self.client_first_bare,
            server_first: &self.server_first,
            client_final_without_proof: message.without_proof,
        };
        let mut matched = 0_u32;
        for (number, credential) in (1_u32..).zip(credentials) {
            let right = credential.verifier.check_proof(&auth_message, &message.proof);
            let good = right & credential.usable & matched.ct_eq(&0);
            matched.conditional_assign(&number, good);
        }
        let winner = (1_u32..).zip(credentials).find(|(number, _)| *number == matched);
        match winner {
            Some((number, credential)) => {
                let verifier = credential.verifier;
                let keys = PassthroughKeys {
                    client_key: verifier.client_key(&auth_message, &message.proof),
                    server_key: verifier.server_key().clone(),
                };
                let server_final = verifier.sign(&auth_message).write();
                (Outcome::Accepted { server_final, matched: number }, Some(keys))
            }
            None => (Outcome::Refused { error: ErrorValue::InvalidProof, fault: None }, None),
        }
    }

    /// Grammar, then channel binding, then nonce.
    fn parse_client_final<'a>(&self, client_final: &'a [u8]) -> Result<ClientFinal<'a>, Fault> {
        let message = ClientFinal::from_wire(client_final, self.mechanism)?;
        if !bool::from(message.cbind_input.ct_eq(&self.cbind_input)) {
            return Err(Fault::BindingMismatch);
        }
        if !bool::from(message.nonce.as_bytes().ct_eq(self.nonce.as_bytes())) {
            return Err(Fault::Nonce);
        }
        Ok(message)
    }
}

/// A verifier that the client's proof is checked against.
#[derive(Clone, Copy, Debug)]
pub struct Credential<'a> {
    verifier: &'a Verifier,
    usable: Choice,
}

impl<'a> Credential<'a> {
    /// `usable` false: does the work, is never accepted. For mocks and absent alternatives.
    pub fn new(verifier: &'a Verifier, usable: bool) -> Self {
        Self { verifier, usable: u8::from(usable).into() }
    }
}

/// The keys of a client that has just logged in. With them a front end can log in to any server that
/// stores the same verifier, as the client, without its password.
///
/// ClientKey is as good as the password there; it is never stored by a server.
#[derive(Clone, Debug)]
pub struct PassthroughKeys {
    /// `ClientKey`: makes the client's proof.
    pub client_key: Key,
    /// `ServerKey`: checks the server's signature.
    pub server_key: Key,
}

/// How the exchange ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// The client knows the password; send it this server-final.
    Accepted {
        /// `v=` and the server's signature.
        server_final: String,
        /// Which credential it was, from 1.
        matched: u32,
    },
    /// The server rejects the client.
    Refused {
        /// The error value that the client may be sent.
        error: ErrorValue,
        /// The fault of the client's message; `None` if only the proof is wrong.
        fault: Option<Fault>,
    },
}

/// `AuthMessage`: the octets as sent and received. They are not put together from parsed parts, so
/// that extensions are signed although the parsers skip them.
///
/// ```text
/// AuthMessage := client-first-message-bare "," server-first-message ","
///                client-final-message-without-proof
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AuthMessage<'a> {
    /// Client-first behind its GS2 header.
    pub client_first_bare: &'a str,
    /// Server-first, whole.
    pub server_first: &'a str,
    /// Client-final before `,p=`.
    pub client_final_without_proof: &'a str,
}

impl AuthMessage<'_> {
    /// `HMAC(key, AuthMessage)`.
    pub(crate) fn hmac(&self, mechanism: Mechanism, key: &Key) -> Key {
        let parts = [
            self.client_first_bare.as_bytes(),
            b",",
            self.server_first.as_bytes(),
            b",",
            self.client_final_without_proof.as_bytes(),
        ];
        key.hmac(mechanism, &parts)
    }
}

impl Verifier {
    /// `H(ClientProof XOR ClientSignature) = StoredKey`, in constant time (RFC 5802 section 3).
    pub(crate) fn check_proof(&self, auth_message: &AuthMessage<'_>, proof: &Key) -> Choice {
        self.client_key(auth_message, proof).hash(self.mechanism()).ct_eq(self.stored_key())
    }

    /// `ClientKey = ClientProof XOR ClientSignature`, if the proof is right.
    fn client_key(&self, auth_message: &AuthMessage<'_>, proof: &Key) -> Key {
        proof.xor(&auth_message.hmac(self.mechanism(), self.stored_key()))
    }

    /// `ServerSignature := HMAC(ServerKey, AuthMessage)`.
    pub(crate) fn sign(&self, auth_message: &AuthMessage<'_>) -> ServerFinal {
        ServerFinal::Signature(auth_message.hmac(self.mechanism(), self.server_key()))
    }
}
