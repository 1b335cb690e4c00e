//! Every error of the SQL layer; `report` has the one table to SQLSTATE, DETAIL and HINT.
//!
//! No text here holds a password, key, verifier or a client's bytes.

mod report;

use scram_core::channel_binding::UnknownBindingType;
use scram_core::client::ClientError;
use scram_core::formats::{ExportError, ImportError, UnknownFormat};
use scram_core::mechanism::UnknownMechanism;
use scram_core::saslprep;
use scram_core::server::BindingMissing;
use scram_core::state::SealError;
use scram_core::verifier::{ParameterError, ParseError};

pub(crate) use report::sentence;

/// Every error that a function of the extension raises.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("\"verifier_alt\" does not match \"verifier\"")]
    Alternative,
    #[error("channel binding type and data must be given together")]
    Binding,
    #[error("channel-binding data is out of range")]
    BindingData,
    #[error("channel binding type and data must be given together")]
    BindingMissing(#[from] BindingMissing),
    #[error("unknown type of channel binding")]
    BindingType(#[from] UnknownBindingType),
    #[error("could not simulate the exchange")]
    Client(#[from] ClientError),
    #[error("\"client\" must be the address of one client")]
    ClientAddress,
    #[error("could not alter role \"{role}\" because of concurrent changes")]
    Contended { role: String },
    #[error("the empty string is not a valid password")]
    EmptyPassword,
    #[error("the verifier cannot be written in this format")]
    Export(#[from] ExportError),
    #[error("extension \"postgres_fdw\" is not installed in this database")]
    FleetExtension,
    #[error("could not read the key of the fleet")]
    FleetKey { file: String, why: String },
    #[error("the key of the fleet is readable for other users of the system")]
    FleetKeyMode { file: String },
    #[error("the library libpq of postgres_fdw cannot be used")]
    FleetLibrary,
    #[error("scram.fleet_refresh() cannot store what it collects {place}")]
    FleetReadOnly { place: &'static str },
    #[error("unknown format of a fleet report")]
    FleetReportFormat,
    #[error("unknown format of a verifier")]
    Format(#[from] UnknownFormat),
    #[error("invalid SCRAM credential")]
    Import(#[from] ImportError),
    #[error("password of role \"{role}\" breaks the rules of scram.guard")]
    Guard { role: String, rules: String },
    #[error("a stored hash was given in place of a password")]
    HashAsPassword,
    #[error("more changes of logins than are supported")]
    HbaChanges,
    #[error("the proposed pg_hba.conf contains no entries")]
    HbaEmpty,
    #[error("pg_hba.conf on disk is not one that the server would load")]
    HbaFile { message: String },
    #[error("permission denied to include files in a proposed pg_hba.conf")]
    HbaInclude { line: usize },
    #[error("a pg_hba.conf with more than {max} rules is not supported")]
    HbaRules { max: usize },
    #[error("invalid {place} of the proposed pg_hba.conf")]
    HbaText { place: String, message: String },
    #[error("iteration count {got} is out of range")]
    Iterations { got: i32, min: i32, max: i32 },
    #[error("unknown SCRAM mechanism")]
    Mechanism(#[from] UnknownMechanism),
    #[error("there is no run of the audit to report on")]
    NoRun,
    #[error("invalid nonce")]
    Nonce,
    #[error("the password of role \"{role}\" was not stored as it was given")]
    NotStored { role: String },
    #[error("a report on more than {max} findings is not supported")]
    Findings { max: usize },
    #[error("a report on findings with more than {max} bytes of text is not supported")]
    FindingsBytes { max: usize },
    #[error("the idle time of sessions to ignore must not be negative")]
    NegativeIdleTime,
    #[error("\"{argument}\" must not be null")]
    Null { argument: &'static str },
    #[error("the old password is wrong")]
    OldPassword,
    #[error("parameters of the verifier are out of range")]
    Parameters(#[from] ParameterError),
    #[error("the password is too long")]
    PasswordLength { got: usize },
    #[error("length of the password is out of range")]
    PasswordOutOfRange { min: usize, max: usize },
    #[error("permission denied to alter role \"{role}\"")]
    Permission { role: String },
    #[error("unknown preparation of a password")]
    Preparation,
    #[error("could not generate random bytes")]
    Random,
    #[error("unknown format of a report")]
    ReportFormat,
    #[error(
        "\"{function}\" cannot be called within a SECURITY DEFINER function or a maintenance command"
    )]
    Restricted { function: &'static str },
    #[error("password of role \"{role}\" was used before")]
    Reuse { role: String, last: usize },
    #[error("a rotation needs two different roles")]
    RotationAlike,
    #[error("rotation \"{name}\" already exists")]
    RotationExists { name: String },
    #[error("role \"{role}\" is not a member of role \"{of}\"")]
    RotationMember { role: String, of: String },
    #[error("a rotation needs a name")]
    RotationNameless,
    #[error("role \"{role}\" belongs to another rotation")]
    RotationTaken { role: String },
    #[error("role \"{role}\" could not log in")]
    RotationUnready { role: String },
    #[error("permission denied for {kind} {routine}")]
    RoutinePermission { kind: &'static str, routine: &'static str },
    #[error("salt and salt length cannot be given together")]
    SaltAndLength,
    #[error("SASLprep does not allow this password")]
    SaslPrep(#[from] saslprep::Error),
    #[error("search thread failed")]
    Search,
    #[error("permission denied to set parameter \"{name}\"")]
    Setting { name: String },
    #[error("column \"{column}\" of relation \"{relation}\" does not exist")]
    SourceColumn { column: String, relation: String },
    #[error("column \"{column}\" of relation \"{relation}\" has another type than at registration")]
    SourceColumnChanged { column: String, relation: String },
    #[error("column \"{column}\" is of type {type_name}")]
    SourceColumnType { column: String, type_name: String, hint: &'static str },
    #[error("subject and secret columns must differ")]
    SourceColumns,
    #[error("relation of the source does not exist")]
    SourceGone,
    #[error("\"{relation}\" is {what}")]
    SourceKind { relation: String, what: &'static str },
    #[error("could not obtain lock on relation \"{relation}\"")]
    SourceLocked { relation: String },
    #[error("materialized view \"{relation}\" has not been populated")]
    SourceNotPopulated { relation: String },
    #[error("role \"{role}\" lacks {what}")]
    SourcePermission { role: String, what: String },
    #[error("role \"{role}\" does not exist")]
    SourceRegistrant { role: String },
    #[error("invalid handshake state")]
    State(#[from] SealError),
    #[error("{what} is too long")]
    TooLong { what: &'static str, got: usize, max: usize },
    #[error("iteration count {got} of the verifier is over the limit")]
    TooManyIterations { got: u32, max: u32 },
    #[error("role \"{role}\" does not exist")]
    UnknownRole { role: String },
    #[error("rotation \"{name}\" does not exist")]
    UnknownRotation { name: String },
    #[error("run {run_id} does not exist")]
    UnknownRun { run_id: i64 },
    #[error("PostgreSQL stores no verifier of {mechanism}")]
    Unstorable { mechanism: &'static str },
    #[error("invalid SCRAM verifier")]
    Verifier(#[from] ParseError),
}
