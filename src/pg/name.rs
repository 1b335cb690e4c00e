//! Values of type `name`.

use core::ffi::{CStr, c_char};

use pgrx::callconv::{Arg, ArgAbi};
use pgrx::nullable::Nullable;
use pgrx::prelude::*;
use pgrx::{FromDatum, impl_sql_translatable};

use super::text::ServerText;

/// A `name` argument: its bytes in the server's encoding, at most 63.
pub(crate) struct PgName(ServerText);

impl PgName {
    pub(crate) fn text(&self) -> &ServerText {
        &self.0
    }
}

impl FromDatum for PgName {
    unsafe fn from_polymorphic_datum(
        datum: pg_sys::Datum,
        is_null: bool,
        _: pg_sys::Oid,
    ) -> Option<Self> {
        // SAFETY: the caller vouches for a datum of type name: NAMEDATALEN bytes with a NUL.
        (!is_null).then(|| unsafe {
            Self(ServerText::from_bytes(CStr::from_ptr(datum.cast_mut_ptr::<c_char>()).to_bytes()))
        })
    }
}

// SAFETY: unboxes through FromDatum above, which reads a name datum.
unsafe impl<'fcx> ArgAbi<'fcx> for PgName {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        // SAFETY: as the caller vouches; see `ServerText` for NULL.
        unsafe { arg.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| Self(ServerText::from_bytes(&[])))
    }

    unsafe fn unbox_nullable_arg(arg: Arg<'_, 'fcx>) -> Nullable<Self> {
        // SAFETY: as the caller vouches.
        unsafe { arg.unbox_arg_using_from_datum::<Self>() }.into()
    }
}

impl_sql_translatable!(PgName, "name");
