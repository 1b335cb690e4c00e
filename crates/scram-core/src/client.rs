//! The client's side of an exchange: for showing one, and for testing servers.

use subtle::ConstantTimeEq;

use crate::channel_binding::ChannelBinding;
use crate::mechanism::Selection;
use crate::message::{self, ClientFinal, ClientFirst, ErrorValue, Fault, ServerFinal, ServerFirst};
use crate::saslprep::Password;
use crate::server::AuthMessage;
use crate::verifier::{ParameterError, Parameters, Verifier};

/// A client that is about to answer server-first.
#[derive(Debug)]
pub struct Client {
    selection: Selection,
    client_first: String,
    cbind_input: Vec<u8>,
}

impl Client {
    /// Starts an exchange.
    ///
    /// Flag `p` for a `-PLUS` mechanism, else `n`. `binding` is needed for `-PLUS` only. `nonce`:
    /// random and printable.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if there is no such message: a nonce that isn't printable, `-PLUS` without
    /// binding, a name with a NUL, a message over the limit.
    pub fn start(
        selection: Selection,
        binding: Option<&ChannelBinding>,
        username: &str,
        nonce: &str,
    ) -> Result<Self, ClientError> {
        let (header, data) = match (selection.plus, binding) {
            (true, None) => return Err(ClientError::BindingMissing),
            (true, Some(ChannelBinding { kind, data })) => (format!("p={kind},,"), data.as_slice()),
            (false, _) => ("n,,".to_owned(), [].as_slice()),
        };
        let client_first = format!("{header}n={},r={nonce}", message::escape(username));
        ClientFirst::from_wire(client_first.as_bytes())?;
        let cbind_input = [header.as_bytes(), data].concat();
        Ok(Self { selection, client_first, cbind_input })
    }

    /// The message to send.
    pub fn client_first(&self) -> &str {
        &self.client_first
    }

    /// Answers server-first. Takes as long as the server's iteration count asks for: bound that
    /// first ([`ServerFirst::from_wire`]).
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the server's message is malformed or its nonce is not this client's with
    /// more behind it.
    pub fn answer(
        self,
        server_first: &str,
        password: &Password,
        tick: impl FnMut(),
    ) -> Result<Answer, ClientError> {
        let first = ClientFirst::from_wire(self.client_first.as_bytes())?;
        let server = ServerFirst::from_wire(server_first.as_bytes())?;
        if server.nonce.strip_prefix(first.nonce).is_none_or(str::is_empty) {
            return Err(ClientError::Message(Fault::Nonce));
        }
        let mechanism = self.selection.mechanism;
        let without_proof = ClientFinal::write_without_proof(&self.cbind_input, server.nonce);
        let auth_message = AuthMessage {
            client_first_bare: first.bare,
            server_first,
            client_final_without_proof: &without_proof,
        };
        let parameters = Parameters::new(mechanism, server.iterations, server.salt)?;
        let salted = parameters.salted_password(password, tick);
        let client_key = salted.client_key();
        let stored_key = client_key.hash(mechanism);
        let proof = client_key.xor(&auth_message.hmac(mechanism, &stored_key));
        let verifier = Verifier::from_keys(parameters, stored_key, salted.server_key());
        let expected = verifier.sign(&auth_message);
        let client_final = ClientFinal::write(&without_proof, &proof);
        Ok(Answer { selection: self.selection, client_final, expected })
    }
}

/// A client that waits for server-final.
#[derive(Debug)]
pub struct Answer {
    selection: Selection,
    client_final: String,
    expected: ServerFinal,
}

impl Answer {
    /// The message to send.
    pub fn client_final(&self) -> &str {
        &self.client_final
    }

    /// Reads server-final and checks the server's signature, which proves that the server knows the
    /// verifier.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the server reports an error, or if its signature is wrong.
    pub fn finish(self, server_final: &str) -> Result<(), ClientError> {
        match (
            ServerFinal::from_wire(server_final.as_bytes(), self.selection.mechanism)?,
            self.expected,
        ) {
            (ServerFinal::Signature(got), ServerFinal::Signature(expected))
                if got.ct_eq(&expected).into() =>
            {
                Ok(())
            }
            (ServerFinal::Error(value), _) => Err(ClientError::Refused(value)),
            _ => Err(ClientError::ServerSignature),
        }
    }
}

/// Why a client gives up.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// `-PLUS` was selected without channel-binding data.
    #[error("a -PLUS mechanism needs channel-binding type and data")]
    BindingMissing,
    /// A message of either side is malformed.
    #[error(transparent)]
    Message(#[from] Fault),
    /// The server asks for parameters that no verifier has.
    #[error(transparent)]
    Parameters(#[from] ParameterError),
    /// The server said no.
    #[error("the server refuses: {0}")]
    Refused(ErrorValue),
    /// The server does not know the verifier.
    #[error("the server's signature is wrong")]
    ServerSignature,
}
