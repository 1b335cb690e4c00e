//! The audit, as far as one transaction sees it: `scram.run_audit` commits, so that it is tested from
//! a client.

use pgrx::prelude::*;

#[pg_schema]
mod tests {
    use pgrx::prelude::*;

    /// The checks that hit a role, in the order of the report.
    fn checks_of(role: &str) -> Vec<String> {
        Spi::connect(|client| {
            let rows = client.select(
                "SELECT check_id FROM scram.audit() WHERE source = 'role' AND subject = $1",
                None,
                &[role.into()],
            )?;
            rows.map(|row| row.get(1).map(Option::unwrap_or_default))
                .collect::<Result<Vec<String>, spi::Error>>()
        })
        .expect("scram.audit()")
    }

    #[pg_test]
    fn audit_finds_what_is_stored() {
        Spi::run(
            r#"
            SET LOCAL password_encryption = 'scram-sha-256';
            CREATE ROLE audit_good LOGIN PASSWORD 'Xq8-unlike-the-name' VALID UNTIL '2999-01-01';
            INSERT INTO scram.audit_policy (check_id, action) VALUES ('password_never_expires', 'notice'), ('login_without_password', 'notice');
            CREATE ROLE audit_name LOGIN PASSWORD 'audit_name123' VALID UNTIL '2999-01-01';
            CREATE ROLE audit_expired LOGIN PASSWORD 'Xq8' VALID UNTIL '-infinity';
            CREATE ROLE audit_forever LOGIN PASSWORD 'Xq8' VALID UNTIL 'infinity';
            CREATE ROLE audit_group;
            CREATE ROLE audit_reader;
            GRANT SELECT (rolpassword) ON pg_authid TO audit_reader;
            CREATE ROLE "Audit ""<b>" LOGIN;
            ALTER ROLE "Audit ""<b>" SET password_encryption = 'md5';
            SET LOCAL password_encryption = 'md5';
            CREATE ROLE audit_md5 LOGIN PASSWORD 'audit_md5' VALID UNTIL '2999-01-01';
            "#,
        )
        .expect("roles");
        let cases: &[(&str, &[&str])] = &[
            ("audit_good", &[]),
            ("audit_name", &["password_is_name"]),
            ("audit_expired", &["password_expired"]),
            ("audit_forever", &["password_never_expires"]),
            ("audit_group", &[]),
            ("audit_reader", &["hash_readable"]),
            ("Audit \"<b>", &["login_without_password", "role_setting_override"]),
            ("audit_md5", &["password_is_name", "md5_hash"]),
        ];
        for (role, expected) in cases {
            assert_eq!(checks_of(role), *expected, "{role}");
        }
    }

    /// Texts that the server accepts although they are not in the strict form, and its reading of
    /// them.
    #[pg_test]
    fn audit_asks_the_running_server() {
        Spi::run(
            r"
            CREATE ROLE audit_lax LOGIN VALID UNTIL '2999-01-01';
            UPDATE pg_authid
            SET rolpassword = replace(scram.generate('audit_lax'), '$4096:', '$4294971392:')
            WHERE rolname = 'audit_lax'",
        )
        .expect("a role");
        // 4294971392 wraps to 4096 in the server: so its password is found.
        assert_eq!(checks_of("audit_lax"), ["password_is_name", "scram_lax"]);
        let evidence = Spi::get_one::<String>(
            "SELECT evidence FROM scram.audit() WHERE subject = 'audit_lax' AND check_id = 'scram_lax'",
        );
        let evidence = evidence.expect("scram.audit()").unwrap_or_default();
        assert!(
            evidence.ends_with("an iteration count of 4096 and a salt of 16 bytes"),
            "{evidence}"
        );
    }

    #[pg_test]
    fn audit_work_is_known_by_its_digest() {
        Spi::run("CREATE ROLE audit_digest LOGIN PASSWORD 'audit_digest'").expect("a role");
        let digest = |query: &str| Spi::get_one::<i64>(query).expect("a digest");
        let stored = "SELECT digest FROM scram_internal.scan_source('role', false, NULL)
                      WHERE part = 'secret' AND subject = 'audit_digest' AND by_name > 9";
        let before = digest(stored);
        assert!(before.is_some());
        // Secrets are found by the role that a run stored.
        Spi::run(
            "INSERT INTO scram_internal.role_secret
             SELECT s.role, s.subject, s.digest, now() FROM scram_internal.scan_source('role', false, NULL) s
             WHERE s.part = 'secret' AND s.subject = 'audit_digest'",
        )
        .expect("a row");
        let tried = "SELECT t.digest FROM scram_internal.guess('role', NULL, NULL, ARRAY[$1], true, '{0}', 1000) t
                     WHERE 'password_is_name' = ANY (t.check_ids) AND t.subject = 'audit_digest'";
        assert_eq!(Spi::get_one_with_args::<i64>(tried, &[before.into()]), Ok(before));

        Spi::run("ALTER ROLE audit_digest PASSWORD 'audit_digest'").expect("another salt");
        assert_ne!(digest(stored), before);
        let gone = Spi::get_one_with_args::<bool>(
            "SELECT t.tested IS NULL FROM scram_internal.guess(
                 'role', NULL, NULL, ARRAY[$1], true, '{0}', 1000) t",
            &[before.into()],
        );
        assert_eq!(gone, Ok(Some(true)));
    }

    #[pg_test(error = "scram.run_audit() cannot run inside a transaction block")]
    fn audit_run_needs_no_transaction_block() {
        Spi::run("DO $$ DECLARE run bigint; BEGIN CALL scram.run_audit(NULL, run); END $$")
            .expect("an error");
    }
}
