//! A `check_password_hook` that takes plain text only, as credcheck's does with its default settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use scram_ext_client_tests::versions::pg_config;
use scram_ext_client_tests::{Cluster, Raised, cell};

/// Refuses each verifier with credcheck's words and SQLSTATE.
const HOOK: &str = r#"
#include "postgres.h"
#include "commands/user.h"
#include "fmgr.h"
PG_MODULE_MAGIC;
void _PG_init(void);
static void check(const char *user, const char *password, PasswordType type, Datum until, bool forever)
{
    if (type != PASSWORD_TYPE_PLAINTEXT)
        ereport(ERROR, (errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
                        errmsg("password type is not a plain text")));
}
void _PG_init(void) { check_password_hook = check; }
"#;

#[test]
fn the_error_names_the_setting_of_credcheck() {
    let cluster = Cluster::with_extension();
    let library = build(cluster.dir());
    let mut client = cluster.client();
    client
        .batch_execute(&format!("CREATE ROLE alice LOGIN PASSWORD 'pencil'; LOAD '{library}'"))
        .expect("a role and a hook");
    let before = "SELECT rolpassword FROM pg_authid WHERE rolname = 'alice'";
    let stored = cell(&mut client, before);
    for call in [
        "set_role_password('alice', 'hunter2')",
        "set_role_verifier('alice', scram.generate('hunter2'))",
        "rotate_role('alice')",
    ] {
        let raised = Raised::by(&mut client, &format!("SELECT scram.{call}"));
        assert_eq!(raised.code, "28000", "{call}: {raised:?}");
        assert_eq!(raised.message, "password type is not a plain text");
        let hint = raised.hint.unwrap_or_default();
        assert!(hint.contains("credcheck.encrypted_password_allowed"), "{call}: {hint}");
        assert_eq!(cell(&mut client, before), stored, "{call}");
    }
    // Nothing to store, nothing to refuse.
    let same = "SELECT action FROM scram.set_role_password('alice', 'pencil')";
    assert_eq!(cell(&mut client, same).as_deref(), Some("unchanged"));
}

/// Compiles the hook, and returns the path of its library.
fn build(dir: &Path) -> String {
    let (source, library) = (dir.join("hook.c"), dir.join("hook.so"));
    fs::write(&source, HOOK).expect("the source");
    let include = pg_config("--includedir-server");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-I", &include, "-o"])
        .args([&library, &source])
        .output()
        .expect("a C compiler");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    library.display().to_string()
}
