//! The verdict on a login, case by case: which of several obstacles the server meets first.

#[path = "common/login.rs"]
mod common;

use common::{facts, rules, secret};
use password_audit::identify::Kind;
use password_audit::login::{
    LoginDatabase, LoginFacts, LoginRole, MapLine, MissingLibrary, Name, Row, SecretForm,
    SuspectSetting, explain,
};

fn verdict(facts: &LoginFacts) -> (Option<bool>, String) {
    let last = explain(facts).pop().expect("a row");
    assert_eq!((last.step, last.check), (8, "login"));
    (last.ok, last.detail)
}

fn assert_refused(facts: &LoginFacts, end: &str) {
    let (ok, detail) = verdict(facts);
    assert_eq!(ok, Some(false), "{detail}");
    assert!(detail.ends_with(end), "{detail}\nshould end in\n{end}");
}

fn role(facts: &mut LoginFacts) -> &mut LoginRole {
    facts.role.as_mut().expect("the role")
}

fn row<'a>(rows: &'a [Row], check: &str) -> &'a Row {
    rows.iter().find(|row| row.check == check).expect("a row")
}

#[test]
fn each_step_has_a_row_in_order() {
    let rows = explain(&facts());
    let checks: Vec<_> = rows.iter().map(|row| (row.step, row.check, row.ok)).collect();
    let names = ["address", "rule", "method", "role", "secret", "database", "settings", "login"];
    let expected: Vec<_> =
        (1_i32..).zip(names).map(|(step, name)| (step, name, Some(true))).collect();
    assert_eq!(checks, expected);
}

/// A password method answers before the server looks at the role.
#[test]
fn a_password_method_does_not_tell_why() {
    let failed = "SQLSTATE 28P01: password authentication failed for user \"ann\"";
    let mut unknown = facts();
    unknown.role = None;
    assert_refused(&unknown, failed);
    unknown.hba = rules("local all all trust");
    assert_refused(&unknown, "SQLSTATE 28000: role \"ann\" does not exist");

    let mut expired = facts();
    role(&mut expired).is_expired = true;
    role(&mut expired).valid_until = Some("2001-01-01 00:00:00 UTC".to_owned());
    assert_refused(&expired, failed);
    expired.hba = rules("local all all trust");
    assert_eq!(verdict(&expired).0, Some(true));

    let mut blank = facts();
    role(&mut blank).secret = None;
    assert_refused(&blank, failed);

    let mut md5 = facts();
    role(&mut md5).secret = Some(secret(SecretForm::Md5, Kind::Md5));
    assert_refused(&md5, failed);
    assert_eq!(row(&explain(&md5), "method").ok, Some(false));
    for method in ["md5", "password"] {
        md5.hba = rules(&format!("local all all {method}"));
        assert_eq!(verdict(&md5).0, Some(true), "{method}");
    }

    let mut malformed = facts();
    role(&mut malformed).secret = Some(secret(SecretForm::Other, Kind::ScramMalformed));
    assert_refused(&malformed, failed);

    // Authentication comes before LOGIN, and LOGIN before the database.
    let mut several = facts();
    role(&mut several).can_login = false;
    several.database = None;
    assert_refused(&several, "SQLSTATE 28000: role \"ann\" is not permitted to log in");
    role(&mut several).secret = None;
    assert_refused(&several, failed);
}

#[test]
fn the_rule_that_decides_and_the_one_that_nearly_does() {
    let mut login = facts();
    login.listening.addresses = vec!["*".to_owned()];
    login.request.client = Some([10, 9, 9, 9].into());
    login.hba = rules("host all all 127.0.0.1/32 trust\nhostssl shop ann 10.0.0.0/8 scram-sha-256");
    assert_refused(
        &login,
        "SQLSTATE 28000: no pg_hba.conf entry for host \"10.9.9.9\", user \"ann\", database \"shop\", no encryption",
    );
    let rows = explain(&login);
    let found = row(&rows, "rule");
    let near = "pg_hba.conf:2 (hostssl shop ann 10.0.0.0/8 scram-sha-256) misses only because the client uses no TLS";
    assert!(found.detail.ends_with(near), "{}", found.detail);
    assert_eq!(found.remedy.as_deref(), Some("host shop ann 10.9.9.9/32 scram-sha-256"));

    login.request.replication = true;
    assert_refused(
        &login,
        "no pg_hba.conf entry for replication connection from host \"10.9.9.9\", user \"ann\", no encryption",
    );
    login.request.replication = false;
    login.hba = rules("host all all samenet reject");
    login.request.client = Some([10, 1, 2, 99].into());
    assert_refused(
        &login,
        "pg_hba.conf rejects connection for host \"10.1.2.99\", user \"ann\", database \"shop\", no encryption",
    );
    login.hba = rules("host all all samehost reject\nhost all all all trust");
    assert_eq!(verdict(&login).0, Some(true));
}

/// Nothing is guessed: a rule with a host's name leaves the verdict open, unless it makes no difference.
#[test]
fn a_rule_that_may_match() {
    let mut login = facts();
    login.listening.addresses = vec!["*".to_owned()];
    login.request.client = Some([10, 9, 9, 9].into());
    login.hba = rules("host all all db.example.com reject\nhost all all all scram-sha-256");
    let (ok, detail) = verdict(&login);
    assert_eq!(ok, None);
    assert!(detail.contains("step 2 (rule)"), "{detail}");
    login.hba = rules("host all all db.example.com md5\nhost all all all scram-sha-256");
    assert_eq!(verdict(&login).0, Some(true));
    login.hba = rules("host all all db.example.com md5");
    assert_eq!(verdict(&login).0, None);
    login.major = 16;
    login.hba = rules("host all /^a all reject\nhost all all all scram-sha-256");
    assert_eq!(verdict(&login).0, None);
}

/// A name that is no role's is in no group, not even in one of the same name.
#[test]
fn an_unknown_role_is_in_no_group() {
    let mut login = facts();
    login.hba = rules("local all +ann trust\nlocal all all reject");
    assert_eq!(verdict(&login).0, Some(true));
    login.role = None;
    assert_refused(
        &login,
        "pg_hba.conf rejects connection for host \"[local]\", user \"ann\", database \"shop\", no encryption",
    );
}

#[test]
fn methods_that_ask_another_system() {
    let mut login = facts();
    for method in ["peer", "peer map=m", "ldap", "scram-sha-256 clientcert=verify-ca"] {
        login.hba = rules(&format!("local all all {method}"));
        login.maps = Some(vec![MapLine {
            map: "m".to_owned(),
            system: "os_ann".to_owned(),
            role: "ann".to_owned(),
        }]);
        assert_eq!(verdict(&login).0, None, "{method}");
    }
    // A map without a line for the role keeps it out.
    login.hba = rules("local all all peer map=other");
    assert_refused(&login, "SQLSTATE 28000: Peer authentication failed for user \"ann\"");
    login.maps = None;
    assert_eq!(verdict(&login).0, None);

    // Rules that fail with different messages leave the verdict open.
    login.maps = Some(Vec::new());
    login.listening.addresses = vec!["*".to_owned()];
    login.request.client = Some([10, 9, 9, 9].into());
    role(&mut login).secret = None;
    login.hba = rules("host all all db.example.com ident map=m\nhost all all all ident map=m");
    assert_refused(&login, "SQLSTATE 28000: Ident authentication failed for user \"ann\"");
    login.hba = rules("host all all db.example.com ident map=m\nhost all all all md5");
    assert_eq!(verdict(&login).0, None);
    login = facts();

    login.hba = rules("local all all trust");
    login.has_hook = true;
    assert_eq!(verdict(&login).0, None);
    login.hba = rules("local all all reject");
    assert_eq!(verdict(&login).0, Some(false));
}

#[test]
fn a_file_that_is_not_in_force() {
    let mut login = facts();
    login.hba.is_newer = true;
    assert_eq!(verdict(&login).0, None);
    let mut login = facts();
    login.hba.error = Some("line 1: invalid".to_owned());
    let (ok, detail) = verdict(&login);
    assert_eq!(ok, None);
    assert!(!detail.contains("refuses"), "{detail}");
}

#[test]
fn addresses_that_a_client_cannot_reach() {
    let mut login = facts();
    login.hba = rules("host all all all trust");
    let cases: [(&str, [u8; 4], Option<bool>); 8] = [
        ("*", [10, 9, 9, 9], Some(true)),
        ("0.0.0.0", [10, 9, 9, 9], Some(true)),
        ("::", [10, 9, 9, 9], Some(false)),
        ("127.0.0.1", [10, 9, 9, 9], Some(false)),
        ("localhost", [127, 0, 0, 1], Some(true)),
        ("10.1.2.3", [10, 9, 9, 9], Some(true)),
        // A program on the server's machine can use its address with each other one of it.
        ("127.0.0.1", [10, 1, 2, 3], None),
        ("db.example.com", [10, 9, 9, 9], None),
    ];
    for (listens, client, expected) in cases {
        login.listening.addresses = vec![listens.to_owned()];
        login.request.client = Some(client.into());
        assert_eq!(verdict(&login).0, expected, "{listens} {client:?}");
    }
    login.listening.addresses = Vec::new();
    assert_refused(&login, "the client cannot connect: Connection refused");
    login.listening.addresses = vec!["*".to_owned()];
    login.request.tls = true;
    assert_refused(&login, "server does not support SSL, but SSL was required");
    login.listening.tls = true;
    assert_eq!(verdict(&login).0, Some(true));
}

#[test]
fn limits_in_the_order_of_the_server() {
    // All slots are taken before the client is asked for its password.
    let mut login = facts();
    role(&mut login).secret = None;
    login.slots.used = 100;
    assert_refused(&login, "SQLSTATE 53300: sorry, too many clients already");

    let mut login = facts();
    login.slots.used = 97;
    let reserved =
        "remaining connection slots are reserved for non-replication superuser connections";
    assert_refused(&login, reserved);
    login.slots.used = 96;
    assert_eq!(verdict(&login).0, Some(true));
    login.major = 16;
    login.slots.reserved = 5;
    assert_refused(&login, "roles with privileges of the \"pg_use_reserved_connections\" role");
    role(&mut login).may_use_reserved = true;
    assert_eq!(verdict(&login).0, Some(true));
    login.slots.used = 98;
    assert_refused(&login, "reserved for roles with the SUPERUSER attribute");
    role(&mut login).superuser = true;
    assert_eq!(verdict(&login).0, Some(true));

    let mut login = facts();
    role(&mut login).connection_limit = 2;
    role(&mut login).connections = 1;
    assert_eq!(verdict(&login).0, Some(true));
    role(&mut login).connections = 2;
    assert_refused(&login, "SQLSTATE 53300: too many connections for role \"ann\"");
}

#[test]
fn the_database_settings_and_libraries() {
    let database = |change: fn(&mut LoginDatabase)| {
        let mut login = facts();
        change(login.database.as_mut().expect("the database"));
        login
    };
    for (login, end) in [
        (
            database(|database| database.is_invalid = true),
            "SQLSTATE 55000: cannot connect to invalid database \"shop\"",
        ),
        (
            database(|database| database.allows_connections = false),
            "SQLSTATE 55000: database \"shop\" is not currently accepting connections",
        ),
        (
            database(|database| database.may_connect = false),
            "SQLSTATE 42501: permission denied for database \"shop\"",
        ),
        (
            database(|database| database.connection_limit = 0),
            "SQLSTATE 53300: too many connections for database \"shop\"",
        ),
    ] {
        assert_refused(&login, end);
    }
    let mut login = facts();
    login.settings = vec![SuspectSetting {
        name: "role".to_owned(),
        remedy: "ALTER ROLE ann RESET role;".to_owned(),
        reason: "role \"gone\" does not exist".to_owned(),
    }];
    assert_eq!(row(&explain(&login), "settings").ok, Some(false));
    assert_eq!(verdict(&login).0, Some(true), "the server only warns");
    login.libraries = vec![MissingLibrary {
        setting: "session_preload_libraries",
        library: "lost".to_owned(),
        is_forbidden: false,
        remedy: "ALTER ROLE ann RESET session_preload_libraries;".to_owned(),
    }];
    assert_refused(
        &login,
        "SQLSTATE 58P01: could not access file \"lost\": No such file or directory",
    );
    assert_eq!(verdict(&database(|database| database.has_login_trigger = true)).0, None);
}

#[test]
fn clients_that_refuse_the_secret() {
    let mut login = facts();
    let stored = role(&mut login).secret.as_mut().expect("a secret");
    stored.iterations = Some(200_000);
    let rows = explain(&login);
    let found = row(&rows, "secret");
    assert_eq!(found.ok, None);
    assert!(found.detail.contains("pgjdbc above 100000 iterations"), "{}", found.detail);
    assert_eq!(verdict(&login).0, Some(true), "the server accepts it");
}

/// A remedy is pasted: a line break in a name must not begin a rule, a line of a map or a statement of its own.
#[test]
fn a_name_with_a_line_break_is_in_no_line() {
    let name = "x\nhost all all 0.0.0.0/0 trust\n--";
    let mut login = facts();
    login.request.role = Name { text: name.to_owned(), sql: format!("\"{name}\"") };
    let remedy = |login: &LoginFacts, check: &str| row(&explain(login), check).remedy.clone();
    login.hba = rules("local all all reject");
    assert_eq!(remedy(&login, "rule"), None);
    login.hba = rules("local all bob trust");
    assert_eq!(remedy(&login, "rule"), None);
    login.hba = rules("local all all peer map=m");
    assert_eq!(remedy(&login, "method"), None);
    login.hba = rules("local all all scram-sha-256");
    role(&mut login).secret = Some(secret(SecretForm::Md5, Kind::Md5));
    assert_eq!(remedy(&login, "method"), None);
    role(&mut login).secret = None;
    assert_eq!(remedy(&login, "secret"), None);
    // Quotes of SQL go on in the next line.
    role(&mut login).can_login = false;
    let command = format!("ALTER ROLE \"{name}\" LOGIN;");
    assert_eq!(remedy(&login, "role"), Some(command));
    // The database comes into a rule, too.
    login = facts();
    login.request.database.text = name.to_owned();
    login.hba = rules("local all all reject");
    assert_eq!(remedy(&login, "rule"), None);
}
