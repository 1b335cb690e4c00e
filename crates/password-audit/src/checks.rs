//! Every check, one entry each.
//!
//! A new check is a rule in one of the modules below and an entry here; `scram.audit_checks()`, the
//! runs and the documentation follow.

mod password;
mod role;
mod salt;
mod secret;
mod server;

use super::{AuditCheck, CheckKind, Guess, Severity};

pub use server::LOGGING_SETTINGS;

/// Ids of the checks that report what most sites want, so that they are off unless a policy turns them on.
pub const OFF_BY_DEFAULT: &[&str] = &["login_without_password", "password_never_expires"];

/// Every check, in the order of the report.
pub const CHECKS: &[AuditCheck] = &[
    AuditCheck {
        id: "password_empty",
        severity: Severity::Critical,
        title: "the password is empty",
        remedy: "Give it a password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        kind: CheckKind::Guess(Guess {
            by_name: password::empty,
            by_server: password::none,
            evidence: "the empty string is the password",
        }),
    },
    AuditCheck {
        id: "password_is_name",
        severity: Severity::Critical,
        title: "the password is the name, or follows from it",
        remedy: "Give it another password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        kind: CheckKind::Guess(Guess {
            by_name: password::like_the_name,
            by_server: password::like_the_server,
            evidence: "the password is its own name, a database's or the host's, or a simple \
                       variation of it",
        }),
    },
    AuditCheck {
        id: "password_in_wordlist",
        severity: Severity::Critical,
        title: "the password is in the word list",
        remedy: "Give it another password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        kind: CheckKind::Guess(Guess {
            by_name: password::no_own,
            by_server: password::none,
            evidence: "a word of the word list is the password",
        }),
    },
    AuditCheck {
        id: "md5_hash",
        severity: Severity::Critical,
        title: "the password is stored as an MD5 hash",
        remedy: "Set password_encryption to scram-sha-256, then set the password again: \\password \
                 ROLE in psql.",
        kind: CheckKind::Subject(secret::md5_hash),
    },
    AuditCheck {
        id: "scram_malformed",
        severity: Severity::Critical,
        title: "the stored password is not a verifier that this server accepts",
        remedy: "Set the password again: \\password ROLE in psql.",
        kind: CheckKind::Subject(secret::scram_malformed),
    },
    AuditCheck {
        id: "scram_lax",
        severity: Severity::Warning,
        title: "the stored verifier is not in the strict form",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        kind: CheckKind::Subject(secret::scram_lax),
    },
    AuditCheck {
        id: "iterations_below_policy",
        severity: Severity::Warning,
        title: "the iteration count is below scram.min_iterations",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        kind: CheckKind::Subject(secret::iterations_below_policy),
    },
    AuditCheck {
        id: "iterations_above_clients",
        severity: Severity::Warning,
        title: "the iteration count is above what common clients accept",
        remedy: "Set the same password with fewer: SELECT * FROM scram.set_role_password(ROLE, PASSWORD, ITERATIONS).",
        kind: CheckKind::Subject(secret::iterations_above_clients),
    },
    AuditCheck {
        id: "iterations_reveal_role",
        severity: Severity::Notice,
        title: "the iteration count reveals that the role exists",
        remedy: "Give all roles the iteration count that the server answers for unknown ones.",
        kind: CheckKind::Subject(secret::iterations_reveal_role),
    },
    AuditCheck {
        id: "salt_short",
        severity: Severity::Warning,
        title: "the salt is shorter than scram.salt_length",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        kind: CheckKind::Subject(salt::salt_short),
    },
    AuditCheck {
        id: "salt_derived",
        severity: Severity::Warning,
        title: "the salt is not random",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        kind: CheckKind::Subject(salt::salt_derived),
    },
    AuditCheck {
        id: "salt_shared",
        severity: Severity::Warning,
        title: "the salt is shared",
        remedy: "Set the passwords of all of them again: a salt belongs to one password.",
        kind: CheckKind::Shared,
    },
    AuditCheck {
        id: "verifier_shared",
        severity: Severity::Warning,
        title: "the verifier is shared, and so is the password",
        remedy: "Give each of them a password of its own.",
        kind: CheckKind::Shared,
    },
    AuditCheck {
        id: "password_plain_text",
        severity: Severity::Critical,
        title: "a registered source holds a password as plain text",
        remedy: "Store what scram.generate() makes of it in place of the password.",
        kind: CheckKind::Subject(secret::password_plain_text),
    },
    AuditCheck {
        id: "hash_weak",
        severity: Severity::Warning,
        title: "a registered source holds a hash that is fast to guess",
        remedy: "Store what scram.generate() makes when the user logs in or sets a password next.",
        kind: CheckKind::Subject(secret::hash_weak),
    },
    AuditCheck {
        id: "not_scram",
        severity: Severity::Warning,
        title: "a source that is to hold SCRAM verifiers holds something else",
        remedy: "Store what scram.generate() makes when the user logs in or sets a password next.",
        kind: CheckKind::Subject(secret::not_scram),
    },
    AuditCheck {
        id: "login_without_password",
        severity: Severity::Notice,
        title: "the role may log in but has no password",
        remedy: "If the role needs password login, set a password: \\password ROLE in psql.",
        kind: CheckKind::Subject(role::login_without_password),
    },
    AuditCheck {
        id: "password_without_login",
        severity: Severity::Notice,
        title: "the role has a password but may not log in",
        remedy: "ALTER ROLE ... PASSWORD NULL, or ALTER ROLE ... LOGIN.",
        kind: CheckKind::Subject(role::password_without_login),
    },
    AuditCheck {
        id: "password_expired",
        severity: Severity::Warning,
        title: "the password has expired",
        remedy: "Set a new password and ALTER ROLE ... VALID UNTIL; or ALTER ROLE ... NOLOGIN PASSWORD \
                 NULL.",
        kind: CheckKind::Subject(role::password_expired),
    },
    AuditCheck {
        id: "password_expires_soon",
        severity: Severity::Warning,
        title: "the password expires within scram.expiry_warning",
        remedy: "Set a new password and ALTER ROLE ... VALID UNTIL.",
        kind: CheckKind::Subject(role::password_expires_soon),
    },
    AuditCheck {
        id: "no_matching_hba_rule",
        severity: Severity::Warning,
        title: "no pg_hba.conf rule accepts the role's stored password",
        remedy: "Set the password again as the rules ask for it: \\password ROLE in psql; or add a \
                 rule that fits.",
        kind: CheckKind::SubjectInContext(role::no_matching_hba_rule, role::deciding_rules),
    },
    AuditCheck {
        id: "password_unchanged",
        severity: Severity::Warning,
        title: "the password is older than scram.max_password_age",
        remedy: "Set a new password: \\password ROLE in psql.",
        kind: CheckKind::Subject(role::password_unchanged),
    },
    AuditCheck {
        id: "role_setting_override",
        severity: Severity::Warning,
        title: "a setting of a role or database decides how passwords are stored",
        remedy: "ALTER ROLE ... RESET, or ALTER DATABASE ... RESET, the setting that the evidence \
                 names.",
        kind: CheckKind::SubjectOrServer(role::role_setting_override, server::setting_override),
    },
    AuditCheck {
        id: "hash_readable",
        severity: Severity::Warning,
        title: "a role that is no superuser can read stored password hashes",
        remedy: "REVOKE what the evidence names.",
        kind: CheckKind::SubjectOrServer(role::hash_readable, server::hash_readable),
    },
    AuditCheck {
        id: "source_unreadable",
        severity: Severity::Warning,
        title: "a registered source cannot be read",
        remedy: "Give its registrant the right that the evidence names, or call scram.drop_audit_source().",
        kind: CheckKind::Unreadable,
    },
    AuditCheck {
        id: "password_encryption_md5",
        severity: Severity::Critical,
        title: "new passwords are stored as MD5 hashes",
        remedy: "ALTER SYSTEM SET password_encryption = 'scram-sha-256', then SELECT \
                 pg_reload_conf().",
        kind: CheckKind::Server(server::password_encryption_md5),
    },
    AuditCheck {
        id: "iterations_setting_low",
        severity: Severity::Warning,
        title: "the server gives new passwords fewer iterations than scram.min_iterations",
        remedy: "ALTER SYSTEM SET scram_iterations (PostgreSQL 16 and later); earlier, make \
                 verifiers with scram.generate().",
        kind: CheckKind::Server(server::iterations_setting_low),
    },
    AuditCheck {
        id: "hba_unreadable",
        severity: Severity::Critical,
        title: "the server would not load pg_hba.conf as it is on disk",
        remedy: "Correct the line that the evidence names, then SELECT pg_reload_conf().",
        kind: CheckKind::Server(server::hba_unreadable),
    },
    AuditCheck {
        id: "hba_not_loaded",
        severity: Severity::Notice,
        title: "pg_hba.conf was changed and is not loaded yet",
        remedy: "SELECT pg_reload_conf().",
        kind: CheckKind::Server(server::hba_not_loaded),
    },
    AuditCheck {
        id: "hba_trust",
        severity: Severity::Critical,
        title: "a pg_hba.conf rule accepts connections without authentication",
        remedy: "Replace trust by scram-sha-256 in that line, then SELECT pg_reload_conf().",
        kind: CheckKind::Server(server::hba_trust),
    },
    AuditCheck {
        id: "hba_password",
        severity: Severity::Warning,
        title: "a pg_hba.conf rule makes clients send clear-text passwords",
        remedy: "Replace password by scram-sha-256 in that line, then SELECT pg_reload_conf().",
        kind: CheckKind::Server(server::hba_password),
    },
    AuditCheck {
        id: "hba_md5",
        severity: Severity::Notice,
        title: "a pg_hba.conf rule accepts MD5 hashes",
        remedy: "Replace md5 by scram-sha-256 in that line, once no role has an MD5 hash any more.",
        kind: CheckKind::Server(server::hba_md5),
    },
    AuditCheck {
        id: "passwords_logged",
        severity: Severity::Warning,
        title: "a setting writes passwords in statements into a log or a view",
        remedy: "Change the setting, or set passwords with \\password in psql, which sends a \
                 verifier.",
        kind: CheckKind::Server(server::passwords_logged),
    },
    AuditCheck {
        id: "guard_off",
        severity: Severity::Notice,
        title: "new passwords of roles are not judged",
        remedy: "Load scram_ext in every session by session_preload_libraries, set scram.guard to warn or enforce, \
                 then SELECT pg_reload_conf().",
        kind: CheckKind::Server(server::guard_off),
    },
    AuditCheck {
        id: "password_never_expires",
        severity: Severity::Notice,
        title: "the password never expires",
        remedy: "ALTER ROLE ... VALID UNTIL, if passwords are to be changed from time to time.",
        kind: CheckKind::Subject(role::password_never_expires),
    },
];
