//! Errors of the functions on verifiers, handshakes and the audit.

use super::{
    ACTIVE_TRANSACTION, CHECK_VIOLATION, Case, MALFORMED, NULL, PARAMETER, READ_ONLY, STATE,
    UNDEFINED, case, hinted, told,
};

pub(super) const CASES: &[Case] = &[
    hinted("SELECT scram.fleet_report('json')", PARAMETER, &["text", "html", "prometheus"]),
    hinted("SELECT scram.fleet_refresh()", STATE, &["CREATE EXTENSION postgres_fdw"]),
    hinted("BEGIN READ ONLY; SELECT scram.fleet_refresh()", READ_ONLY, &["primary"]),
    told(
        "SET scram.fleet_key_file = '/nowhere'; SELECT scram.fleet_digests()",
        "58030",
        &["/nowhere"],
    ),
    // compare_hba
    case("SELECT scram.compare_hba(NULL)", NULL),
    case("SELECT scram.compare_hba('# nothing')", PARAMETER),
    told(
        "SELECT scram.compare_hba(E'local all all md5\\nlocal all all mmd5')",
        PARAMETER,
        &["mmd5"],
    ),
    told(
        "SELECT scram.compare_hba('local all all ldap ldapbindpasswd=hunter2 hunter2')",
        PARAMETER,
        &["a line with a secret"],
    ),
    told("SELECT scram.compare_hba(repeat('#', 1048577))", PARAMETER, &["1048576"]),
    case("SELECT scram.compare_hba(repeat(E'local all all md5\\n', 5001))", "54000"),
    // generate
    told("SELECT scram.generate('hunter2', 4095)", PARAMETER, &["4096", "1000000"]),
    told("SELECT scram.generate('hunter2', 1000001)", PARAMETER, &["4096", "1000000"]),
    told("SELECT scram.generate('hunter2', 0)", PARAMETER, &["4096", "1000000"]),
    told("SELECT scram.generate('hunter2', -1)", PARAMETER, &["4096", "1000000"]),
    told("SELECT scram.generate('hunter2', 4096, '')", PARAMETER, &["1024"]),
    told(
        "SELECT scram.generate('hunter2', 4096, decode(repeat('00', 1025), 'hex'))",
        PARAMETER,
        &["1024"],
    ),
    told(
        "SELECT scram.generate('hunter2', 4096, decode(repeat('00', 1025), 'hex'), 'SCRAM-SHA-512')",
        PARAMETER,
        &["1024"],
    ),
    // 18 refuses to store more than 512 bytes: 1024 bytes of salt make 1480.
    told(
        "SELECT scram.generate('hunter2', 4096, decode(repeat('00', 1024), 'hex'))",
        PARAMETER,
        &["512"],
    ),
    told(
        "SELECT scram.generate('hunter2', 4096, NULL, 'SCRAM-MD5')",
        PARAMETER,
        &["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512"],
    ),
    case("SELECT scram.generate('hunter2', mechanism => 'scram-sha-256')", PARAMETER),
    case("SELECT scram.generate('hunter2', mechanism => '')", PARAMETER),
    case("SELECT scram.generate('')", PARAMETER),
    case("SELECT scram.generate('hunter2', salt => 'salt', salt_length => 4)", PARAMETER),
    told("SELECT scram.generate('hunter2', salt_length => 0)", PARAMETER, &["1 to 1024"]),
    told("SELECT scram.generate('hunter2', salt_length => -1)", PARAMETER, &["1 to 1024"]),
    told("SELECT scram.generate('hunter2', salt_length => 1025)", PARAMETER, &["1 to 1024"]),
    case("SELECT scram.generate('hunter2', preparation => 'rfc4013')", PARAMETER),
    case("SELECT scram.generate('hunter2', preparation => 'SASLprep')", PARAMETER),
    case("SELECT scram.verify('hunter2', '{v}', 'hunter2')", PARAMETER),
    told(
        "SELECT scram.generate(U&'hunter2\\0007', preparation => 'saslprep')",
        PARAMETER,
        &["SASLprep"],
    ),
    // Other systems
    told("SELECT scram.import_verifier('hunter2')", MALFORMED, &["no form"]),
    told(
        "SELECT scram.import_verifier('SCRAM-SHA-256$0:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told("SELECT scram.import_verifier('{v}', 'SCRAM-SHA-512')", MALFORMED, &["mechanism"]),
    case("SELECT scram.import_verifier('{v}', 'hunter2')", PARAMETER),
    told(
        "SELECT scram.import_verifier('salt={salt},stored_key={stored},server_key={server},iterations=1')",
        MALFORMED,
        &["Kafka", "iteration count"],
    ),
    told(
        "SELECT scram.import_verifier('{{SCRAM-SHA-256}}4096,{salt},hunter2,{server}')",
        MALFORMED,
        &["Dovecot", "StoredKey"],
    ),
    // explain_login
    hinted(
        "SELECT scram.explain_login('hunter2', client => '10.0.0.0/8')",
        PARAMETER,
        &["netmask"],
    ),
    told("SELECT scram.export_verifier('hunter2', 'kafka')", MALFORMED, &[]),
    case("SELECT scram.export_verifier('{v}', 'hunter2')", PARAMETER),
    told("SELECT scram.export_verifier('{v}', 'mongodb')", PARAMETER, &["MongoDB", "28 bytes"]),
    told(
        "SELECT scram.export_verifier('SCRAM-SHA-256$4096:AAAA${stored}:{server}', 'prosody')",
        PARAMETER,
        &["Prosody", "printable ASCII"],
    ),
    told(
        "SELECT scram.export_verifier('SCRAM-SHA-256$16385:{salt}${stored}:{server}', 'kafka')",
        PARAMETER,
        &["Kafka", "4096", "16384"],
    ),
    told(
        "SELECT scram.export_verifier(scram.generate('hunter2', mechanism => 'SCRAM-SHA-512'), 'postgresql')",
        PARAMETER,
        &["PostgreSQL", "SCRAM-SHA-512"],
    ),
    // A malformed verifier, and which part of it is.
    told("SELECT scram.parse('hunter2')", MALFORMED, &[]),
    told("SELECT scram.parse('')", MALFORMED, &[]),
    told(
        "SELECT scram.parse('SCRAM-MD5$4096:{salt}${stored}:{server}')",
        MALFORMED,
        &["mechanism"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$0:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$+1:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$01:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$2147483648:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told("SELECT scram.parse('SCRAM-SHA-256$4096:${stored}:{server}')", MALFORMED, &["salt"]),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$4096:hunter2${stored}:{server}')",
        MALFORMED,
        &["salt"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$4096:{salt}$hunter2:{server}')",
        MALFORMED,
        &["StoredKey"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$4096:{salt}$AA==:{server}')",
        MALFORMED,
        &["StoredKey"],
    ),
    told(
        "SELECT scram.parse('SCRAM-SHA-256$4096:{salt}${stored}:hunter2')",
        MALFORMED,
        &["ServerKey"],
    ),
    told("SELECT scram.parse('{v} ')", MALFORMED, &[]),
    told("SELECT scram.verify('hunter2', 'hunter2')", MALFORMED, &[]),
    told("SELECT scram.match_any('hunter2', '{{hunter2}}')", MALFORMED, &[]),
    told("SELECT scram.needs_rotation('hunter2')", MALFORMED, &[]),
    case("SELECT 'hunter2'::scram.verifier", CHECK_VIOLATION),
    case("SELECT '{v}x'::scram.verifier", CHECK_VIOLATION),
    hinted(
        "INSERT INTO scram.audit_policy (check_id, action) VALUES ('md5_hash', 'ignore')",
        CHECK_VIOLATION,
        &["\"off\"", "\"notice\""],
    ),
    hinted(
        "INSERT INTO scram.audit_source (name, relation, subject_column, secret_column, client)
         VALUES ('a', 'pg_authid', 'rolname', 'rolpassword', 'mysql')",
        CHECK_VIOLATION,
        &["\"kafka\"", "\"mongodb\""],
    ),
    hinted(
        "INSERT INTO scram.audit_source (name, relation, subject_column, secret_column, expects)
         VALUES ('a', 'pg_authid', 'rolname', 'rolpassword', 'md5')",
        CHECK_VIOLATION,
        &["\"scram\""],
    ),
    // More work than is allowed is refused before any of it is done.
    told(
        "SELECT scram.verify('hunter2', 'SCRAM-SHA-256$1000001:{salt}${stored}:{server}')",
        PARAMETER,
        &["1000000"],
    ),
    told(
        "SELECT scram.match_any('SCRAM-SHA-256$2000000000:{salt}${stored}:{server}', '{{hunter2}}')",
        PARAMETER,
        &["1000000"],
    ),
    // Settings
    case("SET scram.salt_length = 0", PARAMETER),
    case("SET scram.salt_length = 1025", PARAMETER),
    case("SET scram.min_iterations = 0", PARAMETER),
    case("SET scram.misspelt = 1", "42602"),
    // The handshake: faults of the caller raise, faults of the client don't.
    told("SELECT scram.handshake_start('n,,n=u,r=hunter2', 'hunter2')", MALFORMED, &[]),
    case("SELECT scram.handshake_start('n,,n=u,r=a', '{v}', mechanism => 'SCRAM-MD5')", PARAMETER),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', mechanism => 'SCRAM-SHA-256-PLUS')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', channel_binding_type => 'tls-unique')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', channel_binding_data => 'hunter2')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', channel_binding_type => 'tls-x',
         channel_binding_data => 'hunter2')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', channel_binding_type => 'tls-unique',
         channel_binding_data => '')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', channel_binding_type => 'tls-unique',
         channel_binding_data => decode(repeat('00', 513), 'hex'))",
        PARAMETER,
    ),
    case("SELECT * FROM scram.handshake('hunter2', '{v}', client_nonce => 'a,b')", PARAMETER),
    case("SELECT * FROM scram.handshake('hunter2', '{v}', server_nonce => '')", PARAMETER),
    case(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', verifier_alt =>
         scram.generate('hunter2', 4096))",
        PARAMETER,
    ),
    told(
        "SELECT scram.handshake_start('n,,n=u,r=a', '{v}', verifier_alt => 'hunter2')",
        MALFORMED,
        &[],
    ),
    case("SELECT scram.handshake_finish('', 'c=biws,r=a,p=hunter2', '{v}')", PARAMETER),
    case("SELECT scram.handshake_finish('hunter2', 'c=biws,r=a,p=hunter2', '{v}')", PARAMETER),
    case(
        "SELECT scram.handshake_finish(set_byte(state, length(state) / 2,
         get_byte(state, length(state) / 2) # 1), 'c=biws,r=a,p=AAAA', '{v}')
         FROM scram.handshake_start('n,,n=u,r=a', '{v}')",
        PARAMETER,
    ),
    case(
        "SELECT scram.handshake_finish(state, 'c=biws,r=a,p=AAAA', 'hunter2')
         FROM scram.handshake_start('n,,n=u,r=a', '{v}')",
        MALFORMED,
    ),
    case("SELECT scram.handshake_finish(NULL, 'c=biws,r=a,p=AAAA', '{v}')", NULL),
    told("SELECT * FROM scram.handshake('hunter2', 'hunter2')", MALFORMED, &[]),
    case("SELECT * FROM scram.handshake('hunter2', '{v}', mechanism => 'PLAIN')", PARAMETER),
    case(
        "SELECT * FROM scram.handshake('hunter2', 'SCRAM-SHA-256$1000001:{salt}${stored}:{server}')",
        PARAMETER,
    ),
    // Audit
    Case {
        sql: "BEGIN; CALL scram.run_audit()",
        code: ACTIVE_TRANSACTION,
        detail: &[],
        hint: &["CALL"],
    },
    Case {
        sql: "SELECT scram.audit_report('xml')",
        code: PARAMETER,
        detail: &[],
        hint: &["text", "json", "html", "prometheus"],
    },
    case("SELECT scram.audit_report('HTML')", PARAMETER),
    Case {
        sql: "SELECT scram.audit_report()",
        code: UNDEFINED,
        detail: &[],
        hint: &["CALL scram.run_audit()"],
    },
    Case {
        sql: "SELECT scram.audit_report('json', 4711)",
        code: UNDEFINED,
        detail: &[],
        hint: &["scram.audit_run"],
    },
    case("SELECT scram.audit_report('hunter2', 4711)", PARAMETER),
    Case { sql: "SELECT scram.schedule_audit()", code: STATE, detail: &[], hint: &["pg_cron"] },
    Case { sql: "SELECT scram.unschedule_audit()", code: STATE, detail: &[], hint: &["pg_cron"] },
];
