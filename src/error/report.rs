//! The table from errors to SQLSTATE, DETAIL and HINT.

use std::fmt::Display;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::Error;
use crate::limits::MAX_PASSWORD_LEN;

impl From<Error> for ErrorReport {
    #[track_caller]
    fn from(error: Error) -> Self {
        use PgSqlErrorCode::*;

        let (code, detail, hint) = match &error {
            Error::Alternative => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("Both must have the same mechanism, salt and iteration count.".to_owned()),
                Some(
                    "Make the new one with scram.generate(..., salt => ...) from the old one's salt.",
                ),
            ),
            Error::Binding => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("Type and data of channel binding go together.".to_owned()),
                Some("Give \"channel_binding_type\" and \"channel_binding_data\", or neither."),
            ),
            Error::BindingData => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("The length must be between 1 and 512 bytes.".to_owned()),
                None,
            ),
            Error::BindingMissing(why) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(sentence(why)),
                Some("Give \"channel_binding_type\" and \"channel_binding_data\"."),
            ),
            Error::BindingType(why) => (ERRCODE_INVALID_PARAMETER_VALUE, Some(sentence(why)), None),
            Error::Client(why) => (ERRCODE_INVALID_PARAMETER_VALUE, Some(sentence(why)), None),
            Error::ClientAddress => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("It is a network.".to_owned()),
                Some("Give an address without a netmask."),
            ),
            Error::Contended { .. } => {
                (ERRCODE_T_R_SERIALIZATION_FAILURE, None, Some("Try again."))
            }
            Error::EmptyPassword => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("PostgreSQL refuses an empty password and every verifier of it.".to_owned()),
                None,
            ),
            Error::Export(why) => (ERRCODE_INVALID_PARAMETER_VALUE, Some(sentence(why)), None),
            Error::FleetExtension => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                Some("The clusters of a fleet are foreign servers of postgres_fdw.".to_owned()),
                Some(
                    "Install PostgreSQL's contrib modules, then use CREATE EXTENSION postgres_fdw, \
                     CREATE SERVER and CREATE USER MAPPING.",
                ),
            ),
            Error::FleetKey { file, why } => (
                ERRCODE_IO_ERROR,
                Some(format!("File \"{file}\": {why}.")),
                Some("Let scram.fleet_key_file name the file, or make the setting empty."),
            ),
            Error::FleetKeyMode { file } => (
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                Some(format!("File \"{file}\" must have the mode 0600 or 0640.")),
                None,
            ),
            Error::FleetLibrary => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                Some("It was not loaded as libpq.so.5, or lacks a function.".to_owned()),
                Some("Use a postgres_fdw that is linked with the shared libpq."),
            ),
            Error::FleetReadOnly { .. } => (
                ERRCODE_READ_ONLY_SQL_TRANSACTION,
                None,
                Some("Run it on the primary. The views show what it collected last."),
            ),
            Error::FleetReportFormat => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some("Formats are \"text\", \"html\" and \"prometheus\"."),
            ),
            Error::Format(_) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some(
                    "Formats are \"postgresql\", \"ldap\", \"kafka\", \"mongodb\", \"dovecot\", \
                     \"prosody\" and \"ejabberd\".",
                ),
            ),
            Error::Import(why) => (
                ERRCODE_INVALID_TEXT_REPRESENTATION,
                Some(sentence(why)),
                Some("scram.identify() names the kind of a stored secret."),
            ),
            Error::Guard { rules, .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(rules.clone()),
                Some("Choose another password. scram.check_password() shows the rules."),
            ),
            Error::HashAsPassword => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("The text has the form of a verifier or of an MD5 hash.".to_owned()),
                Some(
                    "Use scram.set_role_verifier() for a verifier of SCRAM-SHA-256. For another \
                     hash give the password that it was made from.",
                ),
            ),
            Error::HbaChanges => (
                ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                Some("The comparison would not fit into memory.".to_owned()),
                Some("Compare a text with fewer changes."),
            ),
            Error::HbaEmpty => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("The server does not load a file without entries.".to_owned()),
                None,
            ),
            Error::HbaFile { message } => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                Some(message.clone()),
                Some(
                    "The server still uses the rules that it loaded before. Correct the file: \
                     pg_hba_file_rules lists its errors.",
                ),
            ),
            Error::HbaInclude { line } => (
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                Some(format!(
                    "Line {line} includes a file. Only roles with privileges of the \
                     \"pg_read_server_files\" role may do that."
                )),
                Some("Write the contents of the included files into the text."),
            ),
            Error::HbaRules { .. } => (ERRCODE_PROGRAM_LIMIT_EXCEEDED, None, None),
            Error::HbaText { message, .. } => {
                (ERRCODE_INVALID_PARAMETER_VALUE, Some(message.clone()), None)
            }
            Error::Iterations { min, max, .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(if min > max {
                    format!(
                        "scram.min_iterations is {min} and scram.max_iterations is {max}: no count fits both."
                    )
                } else {
                    format!("It must be between {min} and {max}.")
                }),
                Some("A superuser can change scram.min_iterations and scram.max_iterations."),
            ),
            Error::Mechanism(why) => (ERRCODE_INVALID_PARAMETER_VALUE, Some(sentence(why)), None),
            Error::NoRun => (
                ERRCODE_UNDEFINED_OBJECT,
                None,
                Some("Run the audit first: CALL scram.run_audit()."),
            ),
            Error::Findings { .. } | Error::FindingsBytes { .. } => (
                ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                None,
                Some("Read scram.audit_finding, or remove old findings with scram.prune_audit()."),
            ),
            Error::Null { .. } => (ERRCODE_NULL_VALUE_NOT_ALLOWED, None, None),
            Error::Nonce => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("Use 1 to 512 printable ASCII characters other than comma.".to_owned()),
                None,
            ),
            Error::NotStored { .. } => (
                ERRCODE_INTERNAL_ERROR,
                Some("Another extension may have changed it on the way.".to_owned()),
                Some("Nothing was changed. Look at shared_preload_libraries."),
            ),
            Error::OldPassword => (ERRCODE_INVALID_PASSWORD, None, None),
            Error::PasswordOutOfRange { min, max } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(format!("It must be between {min} and {max} characters.")),
                None,
            ),
            Error::Permission { .. } => {
                (ERRCODE_INSUFFICIENT_PRIVILEGE, Some(PERMISSION.to_owned()), None)
            }
            Error::Parameters(why) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(sentence(why)),
                Some("Give a salt of 16 bytes, or have a superuser look at scram.salt_length."),
            ),
            Error::PasswordLength { got } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(format!("The password has {got} bytes; the limit is {MAX_PASSWORD_LEN}.")),
                None,
            ),
            Error::Preparation => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some("Preparations are \"postgresql\", \"saslprep\" and \"none\"."),
            ),
            Error::Random | Error::Search => (ERRCODE_INTERNAL_ERROR, None, None),
            Error::ReportFormat => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some("Formats are \"text\", \"json\", \"html\" and \"prometheus\"."),
            ),
            Error::Restricted { .. } => (
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                Some("Another role's code calls it in this session.".to_owned()),
                None,
            ),
            Error::Reuse { last, .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(format!("scram.password_history rejects the last {last} passwords.")),
                Some("Choose another password, or use scram.rotate_role()."),
            ),
            Error::NegativeIdleTime
            | Error::RotationAlike
            | Error::RotationMember { .. }
            | Error::RotationNameless => (ERRCODE_INVALID_PARAMETER_VALUE, None, None),
            Error::RotationExists { .. } | Error::RotationTaken { .. } => {
                (ERRCODE_DUPLICATE_OBJECT, None, None)
            }
            Error::RotationUnready { .. } => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                Some("It has no LOGIN, no password, or its VALID UNTIL has passed.".to_owned()),
                Some("Extend VALID UNTIL of the role, then call scram.rotate()."),
            ),
            Error::RoutinePermission { .. } => (ERRCODE_INSUFFICIENT_PRIVILEGE, None, None),
            Error::SaltAndLength => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some(
                    "Give \"salt\" or \"salt_length\", or neither for a random salt of scram.salt_length bytes.",
                ),
            ),
            Error::SaslPrep(why) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(sentence(why)),
                Some("With preparation \"postgresql\" such a password is hashed as it was typed."),
            ),
            Error::Setting { .. } => (
                ERRCODE_INSUFFICIENT_PRIVILEGE,
                None,
                Some("Connect without this setting in the startup options."),
            ),
            Error::SourceColumn { .. } => (ERRCODE_UNDEFINED_COLUMN, None, None),
            Error::SourceColumnChanged { .. } => (
                ERRCODE_DATATYPE_MISMATCH,
                None,
                Some("Use scram.drop_audit_source() and scram.add_audit_source()."),
            ),
            Error::SourceColumnType { hint, .. } => (ERRCODE_DATATYPE_MISMATCH, None, Some(*hint)),
            Error::SourceColumns => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                None,
                Some("Give the column that names the owner of the secret: a user name, or a key."),
            ),
            Error::SourceGone => (
                ERRCODE_UNDEFINED_TABLE,
                Some("It is not registered, or its relation was dropped.".to_owned()),
                Some("Use scram.drop_audit_source() and scram.add_audit_source()."),
            ),
            Error::SourceKind { what, .. } => (
                ERRCODE_WRONG_OBJECT_TYPE,
                Some(
                    "The audit reads tables, partitioned tables and materialized views, from \
                     storage."
                        .to_owned(),
                ),
                Some(match *what {
                    // A copy would be one more place with all the hashes.
                    "a system catalog" => "The audit reads the passwords of roles anyway.",
                    "a relation of scram_ext itself" => "The audit does not judge its own tables.",
                    _ => "Create a materialized view of the two columns, and register that.",
                }),
            ),
            Error::SourceLocked { .. } => (ERRCODE_LOCK_NOT_AVAILABLE, None, None),
            Error::SourceNotPopulated { .. } => (
                ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
                None,
                Some("Use the REFRESH MATERIALIZED VIEW command."),
            ),
            Error::SourcePermission { .. } => (ERRCODE_INSUFFICIENT_PRIVILEGE, None, None),
            Error::SourceRegistrant { .. } => (ERRCODE_UNDEFINED_OBJECT, None, None),
            Error::State(why) => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(sentence(why)),
                Some("Pass the state that the start of this handshake returned on this cluster."),
            ),
            Error::TooLong { got, max, .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(format!("It has {got} bytes; the limit is {max}.")),
                None,
            ),
            Error::TooManyIterations { max, .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some(format!("Keys are derived with at most {max} iterations.")),
                Some("A superuser can raise scram.max_iterations."),
            ),
            Error::UnknownRun { .. } => {
                (ERRCODE_UNDEFINED_OBJECT, None, Some("scram.audit_run lists the stored runs."))
            }
            Error::UnknownRole { .. } | Error::UnknownRotation { .. } => {
                (ERRCODE_UNDEFINED_OBJECT, None, None)
            }
            Error::Unstorable { .. } => (
                ERRCODE_INVALID_PARAMETER_VALUE,
                Some("The server would store this text as a plain password.".to_owned()),
                Some("Give a verifier of SCRAM-SHA-256."),
            ),
            Error::Verifier(why) => (
                ERRCODE_INVALID_TEXT_REPRESENTATION,
                Some(sentence(why)),
                Some("Make a verifier with scram.generate()."),
            ),
        };
        let mut report = Self::new(code, error.to_string(), "");
        if let Some(detail) = detail {
            report = report.set_detail(detail);
        }
        if let Some(hint) = hint {
            report = report.set_hint(hint);
        }
        report
    }
}

/// The rule of this server's `AlterRole` about the caller's rights (src/backend/commands/user.c).
const PERMISSION: &str = if cfg!(feature = "pg15") {
    "It takes CREATEROLE, for a superuser or a role with REPLICATION it takes SUPERUSER; \
     a role may change its own password, but nothing else."
} else {
    "It takes CREATEROLE and the ADMIN option on the role, for a superuser it takes SUPERUSER; \
     a role may change its own password, but nothing else."
};

/// "the salt is not Base64" as "The salt is not Base64."
pub(crate) fn sentence(why: &impl Display) -> String {
    let text = format!("{why}.");
    let mut characters = text.chars();
    characters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}
