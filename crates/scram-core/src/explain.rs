//! Explains the attributes of a message to a person.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::mechanism::Mechanism;
use crate::message::{
    ClientFinal, ClientFirst, Fault, MAX_MESSAGE_LEN, ServerFinal, ServerFirst, unescape,
};

/// The longest message whose attributes are explained, in bytes. It is well above the longest
/// message that is accepted.
pub const MAX_EXPLAINED_LEN: usize = 16 * MAX_MESSAGE_LEN;

/// One attribute of a message.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attribute {
    /// Its letter; `None` for a remark on the whole message.
    pub letter: Option<char>,
    /// Its name in RFC 5802.
    pub name: &'static str,
    /// Its value, as written in the message.
    pub value: String,
    /// Its meaning in words.
    pub meaning: String,
}

/// Explains any of the four messages, which it recognises by its first two characters.
///
/// It explains malformed messages too; the last entry then names the fault.
///
/// For a message over [`MAX_EXPLAINED_LEN`] it returns the fault alone, because attributes take far
/// more memory than the message.
///
/// Source of names and order: RFC 5802 section 5.1.
pub fn explain(message: &str) -> Vec<Attribute> {
    let mut attributes = Vec::new();
    if message.len() > MAX_EXPLAINED_LEN {
        attributes.push(fault(Fault::Length));
        return attributes;
    }
    let Some(kind) = Message::recognise(message) else {
        attributes.push(fault(Fault::Gs2Header));
        return attributes;
    };
    let rest = if kind == Message::ClientFirst {
        explain_gs2_header(message, &mut attributes)
    } else {
        message
    };
    attributes.extend(rest.split(',').map(|text| attribute(kind, text)));
    if let Err(found) = kind.check(message) {
        attributes.push(fault(found));
    }
    attributes
}

fn fault(fault: Fault) -> Attribute {
    Attribute {
        letter: None,
        name: "fault",
        value: fault.value().to_string(),
        meaning: fault.to_string(),
    }
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Message {
    ClientFinal,
    ClientFirst,
    ServerFinal,
    ServerFirst,
}

impl Message {
    /// `None` for a text that starts like none of the four.
    fn recognise(message: &str) -> Option<Self> {
        let mut characters = message.chars();
        match (characters.next(), characters.next()) {
            (Some('n' | 'y'), Some(',')) | (Some('p'), Some('=')) => Some(Self::ClientFirst),
            (Some('c'), Some('=')) => Some(Self::ClientFinal),
            (Some('r' | 'm'), Some('=')) => Some(Self::ServerFirst),
            (Some('v' | 'e'), Some('=')) => Some(Self::ServerFinal),
            _ => None,
        }
    }

    /// Whether a strict reader takes it. Client-final and server-final are read in the mechanism
    /// that their length shows.
    fn check(self, message: &str) -> Result<(), Fault> {
        let bytes = message.as_bytes();
        let in_any = |read: &dyn Fn(Mechanism) -> Result<(), Fault>| {
            let results = Mechanism::ALL.map(read);
            if results.iter().any(Result::is_ok) { Ok(()) } else { results[0] }
        };
        match self {
            Self::ClientFinal => in_any(&|m| ClientFinal::from_wire(bytes, m).map(|_| ())),
            Self::ClientFirst => ClientFirst::from_wire(bytes).map(|_| ()),
            Self::ServerFinal => in_any(&|m| ServerFinal::from_wire(bytes, m).map(|_| ())),
            Self::ServerFirst => ServerFirst::from_wire(bytes).map(|_| ()),
        }
    }
}

/// Explains the header of client-first; returns the rest of the message.
fn explain_gs2_header<'a>(message: &'a str, attributes: &mut Vec<Attribute>) -> &'a str {
    let (flag, rest) = message.split_once(',').unwrap_or((message, ""));
    let meaning = match flag.split_once('=') {
        Some((_, kind)) => format!("the client requires channel binding of type {kind}"),
        None if flag == "y" => {
            "the client supports channel binding but found none offered".to_owned()
        }
        None => "the client does not support channel binding".to_owned(),
    };
    let value = flag.split_once('=').map_or(flag, |(_, kind)| kind).to_owned();
    attributes.push(Attribute {
        letter: flag.chars().next(),
        name: "gs2-cbind-flag",
        value,
        meaning,
    });
    let (authzid, rest) = rest.split_once(',').unwrap_or((rest, ""));
    if !authzid.is_empty() {
        attributes.push(attribute(Message::ClientFirst, authzid));
    }
    rest
}

fn attribute(kind: Message, text: &str) -> Attribute {
    let Some((letter, value)) = text.split_once('=').filter(|(letter, _)| letter.len() == 1) else {
        return Attribute {
            letter: None,
            name: "malformed",
            value: text.to_owned(),
            meaning: "not an attribute: a letter, \"=\" and a value".to_owned(),
        };
    };
    let (name, meaning) = match (letter, kind) {
        ("a", _) => ("authzid", name_meaning("the user that the client wants to act as", value)),
        ("c", _) => ("channel-binding", binding_meaning(value)),
        ("e", _) => ("server-error", "why the server refuses".to_owned()),
        ("i", _) => ("iteration-count", "how often the password is hashed".to_owned()),
        ("m", _) => (
            "reserved-mext",
            "a mandatory extension: a server that does not know it must reject the message"
                .to_owned(),
        ),
        ("n", _) if value.is_empty() => {
            ("username", "empty, as libpq sends it: the user is known by other means".to_owned())
        }
        ("n", _) => ("username", name_meaning("the user", value)),
        ("p", _) => ("proof", key_meaning("ClientProof", value)),
        ("r", Message::ClientFirst) => {
            ("nonce", format!("the client's nonce, {} characters", value.chars().count()))
        }
        ("r", _) => (
            "nonce",
            format!("the client's and the server's nonce, {} characters", value.chars().count()),
        ),
        ("s", _) => ("salt", bytes_meaning("salt", value)),
        ("v", _) => ("verifier", key_meaning("ServerSignature", value)),
        _ => ("extension", "unknown here: signed, but without effect".to_owned()),
    };
    Attribute { letter: letter.chars().next(), name, value: value.to_owned(), meaning }
}

fn name_meaning(what: &str, value: &str) -> String {
    match unescape(value) {
        Some(name) if name == value => what.to_owned(),
        Some(name) => format!("{what}: {name}"),
        None => format!("{what}; the escape is wrong: only =2C and =3D exist"),
    }
}

fn binding_meaning(value: &str) -> String {
    let Ok(input) = STANDARD.decode(value) else {
        return "not canonical Base64".to_owned();
    };
    // The header ends at the second comma; the data behind it is binary.
    let comma = |from: usize| input.iter().skip(from).position(|b| *b == b',').map(|at| from + at);
    match comma(0).and_then(|first| comma(first + 1)) {
        Some(end) => {
            let header = String::from_utf8_lossy(&input[..=end]);
            match input.len() - end - 1 {
                0 => format!("GS2 header {header} and no channel-binding data"),
                len => format!("GS2 header {header} and {len} bytes of channel-binding data"),
            }
        }
        None => "Base64, but not of a GS2 header".to_owned(),
    }
}

fn key_meaning(what: &str, value: &str) -> String {
    let Ok(key) = STANDARD.decode(value) else {
        return format!("{what}; not canonical Base64");
    };
    match Mechanism::ALL.into_iter().find(|mechanism| mechanism.key_len() == key.len()) {
        Some(mechanism) => format!("{what}, {} bytes: {mechanism}", key.len()),
        None => format!("{what}; {} bytes, as many as no mechanism has", key.len()),
    }
}

fn bytes_meaning(what: &str, value: &str) -> String {
    match STANDARD.decode(value) {
        Ok(bytes) => format!("{what}, {} bytes", bytes.len()),
        Err(_) => format!("{what}; not canonical Base64"),
    }
}
