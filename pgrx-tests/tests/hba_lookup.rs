//! Reading a proposed text of pg_hba.conf asks no name server.
//!
//! A library takes the place of the C library's `getaddrinfo` in the server, and writes each name that would be looked
//! up to the server's log.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use postgres::Client;
use postgres::error::SqlState;
use scram_ext_client_tests::{Cluster, Feature, cell, rows, until};

/// No name is looked up with `AI_NUMERICHOST`, and none is where an address stands.
const RESOLVER: &str = r#"
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

static int is_address(const char *node) {
    unsigned char address[16];
    return inet_pton(AF_INET, node, address) == 1 || inet_pton(AF_INET6, node, address) == 1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **result) {
    static int (*next)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    extern void *dlsym(void *, const char *);
    if (next == NULL)
        next = (int (*)(const char *, const char *, const struct addrinfo *, struct addrinfo **))
            dlsym((void *)-1L, "getaddrinfo");
    if (node != NULL && !is_address(node) && !(hints != NULL && hints->ai_flags & AI_NUMERICHOST)) {
        fprintf(stderr, "looked up %s\n", node);
        if (strstr(node, ".example") != NULL)
            return EAI_NONAME;
    }
    return next(node, service, hints, result);
}
"#;

/// A server that logs the names which it looks up.
fn observed() -> (Cluster, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a folder");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("a folder");
    let (source, library) = (dir.path().join("resolver.c"), dir.path().join("resolver.so"));
    fs::write(&source, RESOLVER).expect("the source");
    let made = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .output()
        .expect("a C compiler");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let cluster = Cluster::builder().preload(&library).start();
    cluster.client().batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    (cluster, dir)
}

/// SQLSTATE and DETAIL of a comparison; `None` if it succeeds.
fn refused(client: &mut Client, text: &str) -> Option<(SqlState, String)> {
    let error = client.query("SELECT FROM scram.compare_hba($1)", &[&text]).err()?;
    let error = error.as_db_error().expect("an error of the server");
    Some((error.code().clone(), error.detail().unwrap_or_default().to_owned()))
}

/// Each place of a line that holds the name of a host.
#[test]
fn no_name_of_a_proposed_text_is_looked_up() {
    let (cluster, _resolver) = observed();
    let mut admin = cluster.client();
    let radius = "radiussecrets=hunter2";
    let mut text = format!(
        "host all all a.example md5
host all all .b.example md5
host all all all radius radiusservers=c.example {radius}
host all all 10.0.0.1 255.0.0.0 radius radiusports=1812 {radius} \"radiusservers=d.example,\"\"e.example\"\"\"
host all all 10.0.0.0/8 \"radius\" {radius},radiusservers=f.example
local all all radius radiusservers=g.example {radius}
host all all radius radius radiusservers=h.example {radius}
host all all all ldap ldapserver=i.example ldapprefix=x
host all all all ldap ldapurl=\"ldap://j.example/dc=x\"
host all all all gss krb_realm=k.example
host all all all radius radiusservers=l.example radiusservers=m.example {radius}
"
    );
    if Feature::Oauth.is_there() {
        admin
            .batch_execute("ALTER SYSTEM SET oauth_validator_libraries = 'validator'")
            .expect("a setting");
        admin.batch_execute("SELECT pg_reload_conf()").expect("a reload");
        until("the setting is loaded", || {
            (cell(&mut admin, "SHOW oauth_validator_libraries")? == "validator").then_some(())
        });
        text.push_str("host all all all oauth issuer=https://n.example scope=x\n");
    }
    assert_eq!(refused(&mut admin, &text), None);
    let explain = "SELECT FROM scram.explain_login('postgres', client => '10.0.0.1', hba => $1)";
    admin.query(explain, &[&text]).expect("an explanation");
    let places = "SELECT count(*) FROM scram_internal.read_hba($1)";
    let read: i64 = admin.query_one(places, &[&text]).expect("rules").get(0);
    assert_eq!(usize::try_from(read).expect("a number"), text.lines().count());
    let log = cluster.log();
    assert!(!log.contains(".example"), "{log}");

    // The server itself does ask.
    cluster.reload_hba(
        &mut admin,
        "local all all trust\nhost all all all radius radiusservers=z.example radiussecrets=x\n",
    );
    cell(&mut admin, "SELECT count(*) FROM pg_hba_file_rules");
    assert!(cluster.log().contains("looked up z.example"), "{}", cluster.log());
}

/// The rows show the names that the text has, and the server's other errors stay.
#[test]
fn the_rest_of_the_line_is_as_the_server_reads_it() {
    let (cluster, _resolver) = observed();
    let mut admin = cluster.client();
    let text = "local all all trust
host all all 127.0.0.1/32 radius \"radiusservers=a.example,b.example\" radiussecrets=hunter2";
    let sql = format!("SELECT DISTINCT after FROM scram.compare_hba('{text}')");
    let after = rows(&mut admin, &sql);
    let expected = "radius radiusservers=a.example,b.example radiussecrets=... (line 2)";
    assert_eq!(after, [[Some(expected.to_owned())]]);
    let detail = |client: &mut Client, line: &str| refused(client, line).expect(line).1;
    for (line, expected) in [
        (
            "host all all all radius \"radiusservers=a.example,b.example,c.example\" \"radiussecrets=x,y\"",
            "an error in a line with a secret",
        ),
        (
            "host all all all radius \"radiusservers=a.example,b.example,c.example\" \"radiusports=1,2\"",
            "authentication method \"radius\" requires argument \"radiussecrets\" to be set",
        ),
        (
            "host all all all md5 radiusservers=a.example",
            "authentication option \"radiusservers\" is only valid for authentication methods radius",
        ),
        (
            "host all all 10.0.0.1 radiusservers=a.example radius",
            "invalid IP mask \"radiusservers=a.example\": Name or service not known",
        ),
        (
            "host all all radius radiusservers=a.example radius",
            "invalid authentication method \"radiusservers=a.example\"",
        ),
    ] {
        assert_eq!(detail(&mut admin, line), expected, "{line}");
    }
    assert!(!cluster.log().contains("looked up a.example"), "{}", cluster.log());
}
