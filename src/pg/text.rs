//! `text` in and out, in the server's encoding and with secrets wiped.
//!
//! pgrx's own `&str` panics on non-ASCII text in a database that is not UTF8; passwords must reach
//! the core in the very bytes that ALTER ROLE would hash.

use core::ffi::c_int;

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::{Datum, UnboxDatum};
use pgrx::nullable::Nullable;
use pgrx::prelude::*;
use pgrx::{FromDatum, impl_sql_translatable, pg_sys, varlena_to_byte_slice};
use scram_core::Password;
use scram_core::message::MAX_SERVER_MESSAGE_LEN;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::limits::MAX_PASSWORD_LEN;

/// A `text` argument: a copy of its bytes in the server's encoding, wiped when dropped.
///
/// For a text over [`MAX_PASSWORD_LEN`] only the length is kept. A caller chooses the length, up to
/// 1 GB, and Rust ends the process, and with it every session, when an allocation fails.
pub(crate) struct ServerText {
    bytes: Zeroizing<Vec<u8>>,
    /// The length of a text that was not copied.
    unread: Option<usize>,
}

impl ServerText {
    /// A text that did not come in as a `text` argument.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        Self { bytes: Zeroizing::new(bytes.to_vec()), unread: None }
    }

    /// A text that is too long to be copied.
    fn unread(len: usize) -> Self {
        Self { bytes: Zeroizing::default(), unread: Some(len) }
    }

    /// The length in bytes, also of a text that was not copied.
    pub(crate) fn len(&self) -> usize {
        self.unread.unwrap_or(self.bytes.len())
    }

    /// UTF-8 in the server's encoding, with escapes for characters that it has not.
    pub(crate) fn from_utf8(text: &str) -> Self {
        let datum = Utf8(text.to_owned()).into_datum();
        // SAFETY: the datum is the text made the line before.
        datum
            .and_then(|datum| unsafe { Self::from_datum(datum, false) })
            .unwrap_or_else(|| Self::from_bytes(&[]))
    }

    /// JSON that is meant to be UTF-8, in the server's encoding. Characters that it has not, and bytes that are no UTF-8,
    /// become escapes for a JSON string, which is read as the escapes of [`Utf8`] and `\xNN`.
    pub(crate) fn from_json(json: &[u8]) -> Self {
        Self { bytes: Utf8(escaped(json, r"\\")).encoded(r"\\"), unread: None }
    }

    /// The bytes in the server's encoding; none of a text that was not copied.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The text as a password, prepared from its unchanged bytes as ALTER ROLE does in this
    /// database.
    pub(crate) fn password(&self) -> Result<Password, Error> {
        self.check_length()?;
        Ok(Password::prepare(&self.bytes))
    }

    /// Raises 22023 for a text of more than `max` bytes.
    pub(crate) fn require_length(&self, what: &'static str, max: usize) -> Result<(), Error> {
        if self.len() > max {
            return Err(Error::TooLong { what, got: self.len(), max });
        }
        Ok(())
    }

    /// Whether a password may be as long as this.
    pub(crate) fn check_length(&self) -> Result<(), Error> {
        if self.len() > MAX_PASSWORD_LEN {
            return Err(Error::PasswordLength { got: self.len() });
        }
        Ok(())
    }

    /// The text if it is ASCII, else "". For verifiers and mechanism names, whose parsers reject the
    /// empty string.
    pub(crate) fn as_ascii(&self) -> &str {
        if self.bytes.is_ascii() { str::from_utf8(&self.bytes).unwrap_or_default() } else { "" }
    }

    /// The bytes in UTF-8, for messages and names on the wire. Text that has no UTF-8 form (in a
    /// SQL_ASCII database, or a character without a counterpart) becomes bytes that are no UTF-8,
    /// which the reader of the message reports. A text that was not copied becomes longer than any
    /// message. Never raises.
    pub(crate) fn to_wire(&self) -> Zeroizing<Vec<u8>> {
        if self.unread.is_some() {
            return Zeroizing::new(vec![b' '; MAX_SERVER_MESSAGE_LEN + 1]);
        }
        self.converted().unwrap_or_else(|| {
            let mut bytes = self.bytes.clone();
            bytes.push(0xFF);
            bytes
        })
    }

    /// The text as a name for display. Bytes that are no text become `\xNN`, and a text that was
    /// not copied becomes its length.
    pub(crate) fn to_display(&self) -> String {
        if let Some(len) = self.unread {
            return format!("({len} bytes)");
        }
        // Most names are ASCII, and each row of a large source comes here.
        if self.bytes.is_ascii() {
            return String::from_utf8_lossy(&self.bytes).into_owned();
        }
        match self.converted() {
            Some(utf8) => escaped(&utf8, r"\"),
            None => ascii_escaped(&self.bytes),
        }
    }

    /// The text as a name in an error or a log line. Outside UTF8 databases such a line takes ASCII
    /// only, so other bytes become `\xNN`.
    pub(crate) fn in_message(&self) -> String {
        // SAFETY: reads the state of the backend.
        let encoding = unsafe { pg_sys::GetDatabaseEncoding() };
        if encoding == pg_sys::pg_enc::PG_UTF8.cast_signed() || self.bytes.is_ascii() {
            return self.to_display();
        }
        ascii_escaped(&self.bytes)
    }

    /// The text as a name in a log line: quoted, on one line, and in ASCII where the database is
    /// not UTF8. No name can end its quotes or begin another line.
    pub(crate) fn quoted(&self) -> String {
        let mut quoted = String::from("\"");
        for character in self.in_message().chars() {
            match character {
                '"' => quoted.push_str("\"\""),
                '\u{2028}' | '\u{2029}' => quoted.extend(character.escape_unicode()),
                _ if character.is_control() => quoted.extend(character.escape_default()),
                _ => quoted.push(character),
            }
        }
        quoted.push('"');
        quoted
    }

    /// The text in UTF-8, if it is text in the server's encoding and was copied.
    pub(crate) fn to_utf8(&self) -> Option<String> {
        if self.unread.is_some() {
            return None;
        }
        String::from_utf8(self.converted()?.to_vec()).ok()
    }

    /// How many characters it has; bytes where it is no text in the server's encoding.
    pub(crate) fn characters(&self) -> usize {
        let utf8 = self.converted();
        let text = utf8.as_ref().and_then(|utf8| core::str::from_utf8(utf8).ok());
        text.map_or(self.len(), |text| text.chars().count())
    }

    fn converted(&self) -> Option<Zeroizing<Vec<u8>>> {
        // SAFETY: reads the state of the backend.
        let from = unsafe { pg_sys::GetDatabaseEncoding() };
        if from == SQL_ASCII {
            return Some(self.bytes.clone());
        }
        convert(&self.bytes, from, UTF8)
    }
}

const SQL_ASCII: c_int = pg_sys::pg_enc::PG_SQL_ASCII as c_int;
const UTF8: c_int = pg_sys::pg_enc::PG_UTF8 as c_int;

/// Converts bytes to another encoding. `None` if a character has no counterpart in it, or if the server
/// has no conversion between the two, such as MULE_INTERNAL and UTF8. Never raises.
fn convert(bytes: &[u8], from: c_int, to: c_int) -> Option<Zeroizing<Vec<u8>>> {
    if from == to || bytes.is_ascii() {
        return Some(Zeroizing::new(bytes.to_vec()));
    }
    // SAFETY: both buffers are as long as is said; without raising, the conversion stops at what it
    // cannot convert and says how far it came. Up to four bytes come of one.
    unsafe {
        let procedure = pg_sys::FindDefaultConversionProc(from, to);
        if procedure == pg_sys::InvalidOid {
            return None;
        }
        let len = c_int::try_from(bytes.len()).ok()?;
        let mut source = Zeroizing::new(bytes.to_vec());
        let mut converted = Zeroizing::new(vec![0_u8; bytes.len() * 4 + 1]);
        let room = c_int::try_from(converted.len()).ok()?;
        let done = pg_sys::pg_do_encoding_conversion_buf(
            procedure,
            from,
            to,
            source.as_mut_ptr(),
            len,
            converted.as_mut_ptr(),
            room,
            true,
        );
        if done != len {
            return None;
        }
        let end = converted.iter().position(|byte| *byte == 0)?;
        converted.truncate(end);
        Some(converted)
    }
}

/// The bytes in the server's encoding: what a candidate password is prepared from.
impl AsRef<[u8]> for ServerText {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

/// The text, with each byte that is not ASCII as `\xNN`.
fn ascii_escaped(bytes: &[u8]) -> String {
    let escape = |byte: &u8| match byte {
        0..=0x7F => char::from(*byte).to_string(),
        _ => format!("\\x{byte:02x}"),
    };
    bytes.iter().map(escape).collect()
}

/// The text, with each byte that is no UTF-8 as `xNN` after this backslash.
fn escaped(bytes: &[u8], backslash: &str) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("{backslash}x{byte:02x}"));
        }
    }
    text
}

impl FromDatum for ServerText {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _: pg_sys::Oid,
    ) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: the caller vouches for a datum of type text, a varlena.
        unsafe {
            // Known before anything is detoasted or copied.
            let len = pg_sys::toast_raw_datum_size(datum).saturating_sub(pg_sys::VARHDRSZ);
            if len > MAX_PASSWORD_LEN {
                return Some(Self::unread(len));
            }
            let varlena = datum.cast_mut_ptr::<pg_sys::varlena>();
            let plain = pg_sys::pg_detoast_datum_packed(varlena);
            let text = Self::from_bytes(varlena_to_byte_slice(plain));
            if plain != varlena {
                pg_sys::pfree(plain.cast());
            }
            Some(text)
        }
    }
}

// SAFETY: unboxes through FromDatum above, which reads a text datum.
unsafe impl<'fcx> ArgAbi<'fcx> for ServerText {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as the caller vouches. A NULL cannot get here: functions with a plain `ServerText` are
        // STRICT; an empty text is the harmless answer should one be declared otherwise.
        unsafe { arg.unbox_arg_using_from_datum() }.unwrap_or_else(|| Self::from_bytes(&[]))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as the caller vouches.
        unsafe { arg.unbox_arg_using_from_datum::<Self>() }.into()
    }
}

// SAFETY: a text datum in an array is a plain or short varlena, never a null pointer.
unsafe impl UnboxDatum for ServerText {
    type As<'src> = Self;

    unsafe fn unbox<'src>(datum: Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: as the caller vouches.
        unsafe { Self::from_datum(datum.sans_lifetime(), false) }
            .unwrap_or_else(|| Self::from_bytes(&[]))
    }
}

impl IntoDatum for ServerText {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let len = c_int::try_from(self.bytes.len()).ok()?;
        // SAFETY: copies `len` bytes, which are in the server's encoding already, into a new datum.
        let text = unsafe { pg_sys::cstring_to_text_with_len(self.bytes.as_ptr().cast(), len) };
        Some(text.into())
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

// SAFETY: returns the text datum made above.
unsafe impl BoxRet for ServerText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: a datum of the declared type.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

impl_sql_translatable!(ServerText, "text");

/// A `text` result given in UTF-8; converted to the server's encoding on its way out, and what has no
/// counterpart there is written as `\u{…}`.
pub(crate) struct Utf8(pub(crate) String);

impl Utf8 {
    /// Whether the encoding of this database has all characters.
    pub(crate) fn is_encodable(&self) -> bool {
        self.converted().is_some()
    }

    fn converted(&self) -> Option<Zeroizing<Vec<u8>>> {
        // SAFETY: reads the state of the backend.
        match unsafe { pg_sys::GetDatabaseEncoding() } {
            SQL_ASCII => Some(Zeroizing::new(self.0.as_bytes().to_vec())),
            to => convert(self.0.as_bytes(), UTF8, to),
        }
    }

    /// In the encoding of this database; what it has not is written as `u{…}` after this backslash.
    fn encoded(&self, backslash: &str) -> Zeroizing<Vec<u8>> {
        if let Some(bytes) = self.converted() {
            return bytes;
        }
        // SAFETY: reads the state of the backend.
        let to = unsafe { pg_sys::GetDatabaseEncoding() };
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.0.len()));
        for character in self.0.chars() {
            let mut buffer = [0; 4];
            match convert(character.encode_utf8(&mut buffer).as_bytes(), UTF8, to) {
                Some(known) => bytes.extend_from_slice(&known),
                None => {
                    let code = format!("{backslash}u{{{:x}}}", u32::from(character));
                    bytes.extend_from_slice(code.as_bytes());
                }
            }
        }
        bytes
    }
}

impl IntoDatum for Utf8 {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let bytes = self.encoded(r"\");
        let len = c_int::try_from(bytes.len()).ok()?;
        // SAFETY: copies `len` bytes, which are valid in the server's encoding.
        let text = unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), len) };
        Some(text.into())
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

// SAFETY: returns the text datum made above.
unsafe impl BoxRet for Utf8 {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> Datum<'fcx> {
        match self.into_datum() {
            // SAFETY: a datum of the declared type.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

impl_sql_translatable!(Utf8, "text");
