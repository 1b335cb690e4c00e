//! The two columns of a source, by number and type, and their values.

use core::ffi::c_char;
use std::ffi::CString;

use pgrx::{FromDatum as _, pg_sys};

use super::relation::Relation;
use crate::error::Error;
use crate::limits::MAX_SECRET_LEN;
use crate::pg::text::ServerText;

/// The longest value that is read, in bytes before compression. A longer one is not detoasted.
const MAX_VALUE_LEN: usize = MAX_SECRET_LEN;

/// Subject and secret.
pub(super) struct Columns {
    pub(super) subject: Column,
    pub(super) secret: Column,
}

/// A column of one relation.
pub(super) struct Column {
    pub(super) number: i16,
    name: ServerText,
    type_oid: pg_sys::Oid,
    reader: Reader,
    /// Whether values can be compressed or stored out of line.
    is_varlena: bool,
}

/// How a value becomes text without a function of another role.
#[derive(Clone, Copy)]
enum Reader {
    /// `char(n)`: as text, but the blanks at the end are none of it.
    Blanks,
    /// `bytea`, `text`, `varchar`: the bytes as they are.
    Bytes,
    /// `json`: the bytes as they are.
    Json,
    /// The output function of `jsonb`, for values whose numbers are printed in about their own length.
    Jsonb(pg_sys::Oid),
    /// The output function, which is the server's own.
    Output(pg_sys::Oid),
}

/// A value of a row.
pub(super) enum Value {
    Null,
    Text(ServerText),
    /// Longer than [`MAX_VALUE_LEN`], and not read.
    TooLong {
        bytes: usize,
    },
}

impl Columns {
    /// Raises 42703 for a column that does not exist and 42804 for one of a type that is not read.
    pub(super) fn find(
        relation: &Relation,
        subject: &ServerText,
        secret: &ServerText,
    ) -> Result<Self, Error> {
        let subject = Column::find(relation, subject)?;
        let secret = Column::find(relation, secret)?;
        if subject.number == secret.number {
            return Err(Error::SourceColumns);
        }
        // A secret is of a type that holds text; an output function would show a form of its own.
        let is_text = match secret.reader {
            Reader::Output(_) => false,
            Reader::Blanks | Reader::Bytes | Reader::Json | Reader::Jsonb(_) => true,
        };
        if !is_text {
            return Err(secret.unread_type(SECRET_TYPES));
        }
        Ok(Self { subject, secret })
    }

    pub(super) fn types(&self) -> [pg_sys::Oid; 2] {
        [self.subject.type_oid, self.secret.type_oid]
    }

    /// Raises 42804 unless the columns are still of the types that were registered.
    pub(super) fn require_types(
        &self,
        relation: &Relation,
        registered: [Option<pg_sys::Oid>; 2],
    ) -> Result<(), Error> {
        for (column, registered) in [&self.subject, &self.secret].into_iter().zip(registered) {
            if registered.is_some_and(|registered| registered != column.type_oid) {
                let (column, relation) = (column.name.in_message(), relation.name());
                return Err(Error::SourceColumnChanged { column, relation });
            }
        }
        Ok(())
    }

    /// The same columns in a child, where they may have other numbers.
    pub(super) fn in_child(&self, child: &Relation) -> Result<Self, Error> {
        let columns = Self::find(child, &self.subject.name, &self.secret.name)?;
        columns.require_types(child, self.types().map(Some))?;
        Ok(columns)
    }
}

impl Column {
    fn find(relation: &Relation, name: &ServerText) -> Result<Self, Error> {
        let missing =
            || Error::SourceColumn { column: name.in_message(), relation: relation.name() };
        let c_name = CString::new(name.as_bytes()).map_err(|_| missing())?;
        // SAFETY: reads the catalogs under the relation's lock. An unknown name and one of a dropped
        // column have number 0, one of a system column a negative number.
        let (number, type_oid, generated, len) = unsafe {
            let number = pg_sys::get_attnum(relation.oid(), c_name.as_ptr());
            if number <= 0 {
                return Err(missing());
            }
            let type_oid = pg_sys::get_atttype(relation.oid(), number);
            let generated = pg_sys::get_attgenerated(relation.oid(), number);
            (number, type_oid, generated, pg_sys::get_typlen(type_oid))
        };
        let is_virtual = generated.cast_unsigned() == VIRTUAL;
        if is_virtual {
            return Err(Error::SourceKind {
                relation: name.in_message(),
                what: "a virtual generated column",
            });
        }
        let mut column = Self {
            number,
            name: ServerText::from_bytes(name.as_bytes()),
            type_oid,
            reader: Reader::Bytes,
            is_varlena: len == -1,
        };
        column.reader = match base_type(type_oid) {
            pg_sys::BYTEAOID | pg_sys::TEXTOID | pg_sys::VARCHAROID => Reader::Bytes,
            pg_sys::BPCHAROID => Reader::Blanks,
            pg_sys::JSONOID => Reader::Json,
            base => match servers_output_function(base) {
                Some(function) if base == pg_sys::JSONBOID => Reader::Jsonb(function),
                Some(function) => Reader::Output(function),
                None => return Err(column.unread_type(SUBJECT_TYPES)),
            },
        };
        Ok(column)
    }

    fn unread_type(&self, hint: &'static str) -> Error {
        // SAFETY: the type exists, or this is a text that says that it does not.
        let type_name = unsafe { c_text(pg_sys::format_type_be(self.type_oid)) };
        Error::SourceColumnType { column: self.name.in_message(), type_name, hint }
    }

    pub(super) fn name(&self) -> &ServerText {
        &self.name
    }

    /// The value as text, in the current memory context; what the server allocates for it is left to
    /// the context.
    ///
    /// # Safety
    ///
    /// `datum` is a value of this column, unless `is_null`.
    pub(super) unsafe fn value(&self, datum: pg_sys::Datum, is_null: bool) -> Value {
        if is_null {
            return Value::Null;
        }
        // SAFETY: as the caller vouches. The length is known before anything is detoasted.
        unsafe {
            if self.is_varlena {
                let header = pg_sys::VARHDRSZ;
                let bytes = pg_sys::toast_raw_datum_size(datum).saturating_sub(header);
                if bytes > MAX_VALUE_LEN {
                    return Value::TooLong { bytes };
                }
            }
            let text = match self.reader {
                Reader::Blanks => {
                    let text = text_of(datum);
                    let bytes = text.as_bytes();
                    let len =
                        bytes.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
                    ServerText::from_bytes(&bytes[..len])
                }
                Reader::Bytes | Reader::Json => text_of(datum),
                Reader::Jsonb(_) if has_long_number(datum) => {
                    return Value::TooLong { bytes: pg_sys::toast_raw_datum_size(datum) };
                }
                Reader::Jsonb(function) | Reader::Output(function) => {
                    let text = pg_sys::OidOutputFunctionCall(function, datum);
                    let copy = ServerText::from_bytes(core::ffi::CStr::from_ptr(text).to_bytes());
                    pg_sys::pfree(text.cast());
                    copy
                }
            };
            // JSON's null is no password either.
            let is_json = matches!(self.reader, Reader::Json | Reader::Jsonb(_));
            if is_json && text.as_bytes().trim_ascii() == b"null" {
                Value::Null
            } else {
                Value::Text(text)
            }
        }
    }
}

/// `ATTRIBUTE_GENERATED_VIRTUAL` (src/include/catalog/pg_attribute.h), since PostgreSQL 18.
const VIRTUAL: u8 = b'v';

const SECRET_TYPES: &str = "The audit reads secrets of type text, varchar, char, bytea, json, jsonb and scram.verifier. \
     Register a materialized view that casts.";

const SUBJECT_TYPES: &str = "The audit reads subjects of every type that PostgreSQL itself can print in bounded length. \
     Register a materialized view that casts.";

/// The type under all domains: their checks were made when the value was stored.
fn base_type(type_oid: pg_sys::Oid) -> pg_sys::Oid {
    // SAFETY: reads the catalogs.
    unsafe { pg_sys::getBaseType(type_oid) }
}

/// Whether a `jsonb` holds a number with a large exponent. `1e131071` takes ten bytes and is printed in
/// 131,072, so that a value of a few kilobytes would fill the memory.
///
/// # Safety
///
/// `datum` is a `jsonb` of at most [`MAX_VALUE_LEN`] bytes.
unsafe fn has_long_number(datum: pg_sys::Datum) -> bool {
    // SAFETY: as the caller vouches; the iterator is the server's, and ends with WJB_DONE. A number of a
    // jsonb is a varlena with a header of four bytes; then comes `n_header`, whose high bit is clear in the
    // long format alone (src/backend/utils/adt/numeric.c).
    unsafe {
        let jsonb = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::Jsonb>();
        let mut iterator = pg_sys::JsonbIteratorInit(&raw mut (*jsonb).root);
        let mut value = core::mem::zeroed::<pg_sys::JsonbValue>();
        loop {
            let token = pg_sys::JsonbIteratorNext(&raw mut iterator, &raw mut value, false);
            if token == pg_sys::JsonbIteratorToken::WJB_DONE {
                return false;
            }
            if value.type_ == pg_sys::jbvType::jbvNumeric {
                let header = value.val.numeric.cast::<u8>().add(pg_sys::VARHDRSZ).cast::<u16>();
                if header.read_unaligned() & 0x8000 == 0 {
                    return true;
                }
            }
        }
    }
}

/// Types with numbers of which one value can hold many: a number of ten bytes may be printed in 131,072.
const MANY_NUMBERS: [pg_sys::Oid; 2] = [pg_sys::JSONPATHOID, pg_sys::NUMMULTIRANGEOID];

/// The output function, if neither it nor what it calls is another role's code: elements of arrays
/// and ranges are printed by their own type's function, and columns of a row by each of theirs.
fn servers_output_function(type_oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    let base = base_type(type_oid);
    // SAFETY: reads the catalogs; a type without an entry raises.
    unsafe {
        let mut function = pg_sys::InvalidOid;
        let mut is_varlena = false;
        pg_sys::getTypeOutputInfo(base, &mut function, &mut is_varlena);
        let is_servers_own = function.to_u32() < pg_sys::FirstNormalObjectId;
        let inner = match pg_sys::get_typtype(base).cast_unsigned() {
            pg_sys::TYPTYPE_COMPOSITE | pg_sys::TYPTYPE_PSEUDO => return None,
            pg_sys::TYPTYPE_RANGE => pg_sys::get_range_subtype(base),
            pg_sys::TYPTYPE_MULTIRANGE => pg_sys::get_multirange_range(base),
            _ => pg_sys::get_element_type(base),
        };
        if !is_servers_own || MANY_NUMBERS.contains(&base) {
            return None;
        }
        if inner != pg_sys::InvalidOid {
            // An array may hold many numbers as well; a range holds two.
            let is_range = pg_sys::get_typtype(base).cast_unsigned() == pg_sys::TYPTYPE_RANGE;
            let numbers = [pg_sys::NUMERICOID, pg_sys::NUMRANGEOID, pg_sys::JSONBOID];
            if !is_range && numbers.contains(&base_type(inner)) {
                return None;
            }
            servers_output_function(inner)?;
        }
        Some(function)
    }
}

/// The bytes of a value, detoasted.
///
/// # Safety
///
/// `datum` is a varlena.
unsafe fn text_of(datum: pg_sys::Datum) -> ServerText {
    // SAFETY: as the caller vouches.
    unsafe { ServerText::from_datum(datum, false) }.unwrap_or_else(|| ServerText::from_bytes(&[]))
}

/// # Safety
///
/// `text` is a C string.
unsafe fn c_text(text: *const c_char) -> String {
    // SAFETY: as the caller vouches.
    ServerText::from_bytes(unsafe { core::ffi::CStr::from_ptr(text) }.to_bytes()).in_message()
}
