//! Every check, one entry each.
//!
//! A new check is a rule in one of the modules below and an entry here; `scram.audit_checks()`, the
//! runs and the documentation follow.

mod password;
mod role;
mod secret;
mod server;

use super::{Check, Guess, Rule, Severity};

/// Every check, in the order of the report.
pub const CHECKS: &[Check] = &[
    Check {
        id: "password_empty",
        severity: Severity::Critical,
        title: "the password is empty",
        remedy: "Give it a password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        rule: Rule::Guess(Guess {
            own: password::empty,
            common: password::none,
            evidence: "the empty string is the password",
        }),
    },
    Check {
        id: "password_is_name",
        severity: Severity::Critical,
        title: "the password is the name, or follows from it",
        remedy: "Give it another password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        rule: Rule::Guess(Guess {
            own: password::like_the_name,
            common: password::like_the_server,
            evidence: "the password is its own name, a database's or the host's, or a simple \
                       variation of it",
        }),
    },
    Check {
        id: "password_in_wordlist",
        severity: Severity::Critical,
        title: "the password stands in scram.wordlist",
        remedy: "Give it another password: SELECT scram.rotate_role(ROLE), or \\password ROLE in psql.",
        rule: Rule::Guess(Guess {
            own: password::no_own,
            common: password::none,
            evidence: "a word of scram.wordlist is the password",
        }),
    },
    Check {
        id: "md5_hash",
        severity: Severity::Critical,
        title: "the password is stored as an MD5 hash",
        remedy: "Set password_encryption to scram-sha-256, then set the password again: \\password \
                 ROLE in psql.",
        rule: Rule::Subject(secret::md5_hash),
    },
    Check {
        id: "scram_malformed",
        severity: Severity::Critical,
        title: "the stored password is no verifier that this server accepts",
        remedy: "Set the password again: \\password ROLE in psql.",
        rule: Rule::Subject(secret::scram_malformed),
    },
    Check {
        id: "scram_lax",
        severity: Severity::Warning,
        title: "the stored verifier is not in the form that every server reads alike",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        rule: Rule::Subject(secret::scram_lax),
    },
    Check {
        id: "iterations_below_policy",
        severity: Severity::Warning,
        title: "the iteration count is below scram.min_iterations",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        rule: Rule::Subject(secret::iterations_below_policy),
    },
    Check {
        id: "iterations_above_clients",
        severity: Severity::Warning,
        title: "the iteration count is above what common clients accept",
        remedy: "Set the same password with fewer: SELECT * FROM scram.set_role_password(ROLE, PASSWORD, ITERATIONS).",
        rule: Rule::Subject(secret::iterations_above_clients),
    },
    Check {
        id: "iterations_reveal_role",
        severity: Severity::Notice,
        title: "the iteration count tells the role from one that does not exist",
        remedy: "Give all roles the iteration count that the server answers for unknown ones.",
        rule: Rule::Subject(secret::iterations_reveal_role),
    },
    Check {
        id: "salt_short",
        severity: Severity::Warning,
        title: "the salt is shorter than scram.salt_length",
        remedy: "Set the same password again: SELECT * FROM scram.set_role_password(ROLE, PASSWORD).",
        rule: Rule::Subject(secret::salt_short),
    },
    Check {
        id: "salt_shared",
        severity: Severity::Warning,
        title: "the salt is shared",
        remedy: "Set the passwords of all of them again: a salt belongs to one password.",
        rule: Rule::Cluster(secret::salt_shared),
    },
    Check {
        id: "verifier_shared",
        severity: Severity::Warning,
        title: "the verifier is shared, and so is the password",
        remedy: "Give each of them a password of its own.",
        rule: Rule::Cluster(secret::verifier_shared),
    },
    Check {
        id: "not_scram",
        severity: Severity::Warning,
        title: "a registered source holds another hash than SCRAM, or plain text",
        remedy: "Store what scram.generate() makes when the user logs in or sets a password next.",
        rule: Rule::Subject(secret::not_scram),
    },
    Check {
        id: "login_without_password",
        severity: Severity::Notice,
        title: "the role may log in but has no password",
        remedy: "If it shall log in with a password, set one: \\password ROLE in psql.",
        rule: Rule::Subject(role::login_without_password),
    },
    Check {
        id: "password_without_login",
        severity: Severity::Notice,
        title: "the role has a password but may not log in",
        remedy: "ALTER ROLE ... PASSWORD NULL, or ALTER ROLE ... LOGIN.",
        rule: Rule::Subject(role::password_without_login),
    },
    Check {
        id: "password_expired",
        severity: Severity::Warning,
        title: "the password has expired",
        remedy: "Set a new password and ALTER ROLE ... VALID UNTIL; or ALTER ROLE ... NOLOGIN PASSWORD \
                 NULL.",
        rule: Rule::Subject(role::password_expired),
    },
    Check {
        id: "password_expires_soon",
        severity: Severity::Warning,
        title: "the password expires within scram.expiry_warning",
        remedy: "Set a new password and ALTER ROLE ... VALID UNTIL.",
        rule: Rule::Subject(role::password_expires_soon),
    },
    Check {
        id: "no_matching_hba_rule",
        severity: Severity::Warning,
        title: "no rule of pg_hba.conf lets the role in with what it has",
        remedy: "Set the password again as the rules ask for it: \\password ROLE in psql; or add a \
                 rule that fits.",
        rule: Rule::Subject(role::no_matching_hba_rule),
    },
    Check {
        id: "password_unchanged",
        severity: Severity::Warning,
        title: "the password is older than scram.max_password_age",
        remedy: "Set a new password: \\password ROLE in psql.",
        rule: Rule::Subject(role::password_unchanged),
    },
    Check {
        id: "role_setting_override",
        severity: Severity::Warning,
        title: "a setting of a role or database decides how passwords are stored",
        remedy: "ALTER ROLE ... RESET, or ALTER DATABASE ... RESET, the setting that the evidence \
                 names.",
        rule: Rule::SubjectOrServer(role::role_setting_override, server::setting_override),
    },
    Check {
        id: "hash_readable",
        severity: Severity::Warning,
        title: "the role can read stored password hashes and is no superuser",
        remedy: "REVOKE what the evidence names.",
        rule: Rule::Subject(role::hash_readable),
    },
    Check {
        id: "source_unreadable",
        severity: Severity::Warning,
        title: "a registered source cannot be read",
        remedy: "SELECT from its relation as its owner to see why, or scram.drop_audit_source().",
        rule: Rule::Unreadable,
    },
    Check {
        id: "password_encryption_md5",
        severity: Severity::Critical,
        title: "new passwords are stored as MD5 hashes",
        remedy: "ALTER SYSTEM SET password_encryption = 'scram-sha-256', then SELECT \
                 pg_reload_conf().",
        rule: Rule::Server(server::password_encryption_md5),
    },
    Check {
        id: "iterations_setting_low",
        severity: Severity::Warning,
        title: "the server gives new passwords fewer iterations than scram.min_iterations",
        remedy: "ALTER SYSTEM SET scram_iterations (PostgreSQL 16 and later); earlier, make \
                 verifiers with scram.generate().",
        rule: Rule::Server(server::iterations_setting_low),
    },
    Check {
        id: "hba_trust",
        severity: Severity::Critical,
        title: "a rule of pg_hba.conf lets everybody in who it fits",
        remedy: "Replace trust by scram-sha-256 in that line, then SELECT pg_reload_conf().",
        rule: Rule::Server(server::hba_trust),
    },
    Check {
        id: "hba_password",
        severity: Severity::Warning,
        title: "a rule of pg_hba.conf has the client send its password as it is",
        remedy: "Replace password by scram-sha-256 in that line, then SELECT pg_reload_conf().",
        rule: Rule::Server(server::hba_password),
    },
    Check {
        id: "hba_md5",
        severity: Severity::Notice,
        title: "a rule of pg_hba.conf accepts MD5 hashes",
        remedy: "Replace md5 by scram-sha-256 in that line, once no role has an MD5 hash any more.",
        rule: Rule::Server(server::hba_md5),
    },
    Check {
        id: "passwords_logged",
        severity: Severity::Warning,
        title: "a setting writes passwords in statements into a log or a view",
        remedy: "Change the setting, or set passwords with \\password in psql, which sends a \
                 verifier.",
        rule: Rule::Server(server::passwords_logged),
    },
    Check {
        id: "password_never_expires",
        severity: Severity::Notice,
        title: "the password has no end",
        remedy: "ALTER ROLE ... VALID UNTIL, if passwords are to be changed from time to time.",
        rule: Rule::Subject(role::password_never_expires),
    },
];
