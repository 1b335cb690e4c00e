//! What a client, a certificate or a server without an answer may cost a gateway of contrib/gateway.

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::gateway::{Gateway, Program, cluster};

/// The server cuts long names, and each of those that mean one role would have failures of its own.
#[test]
fn a_name_with_more_bytes_than_a_role_is_refused() {
    let cluster = cluster();
    let name = "n".repeat(63);
    let role = format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'");
    cluster.client().batch_execute(&role).expect("a role");
    for program in Program::ALL {
        let gateway = Gateway::start(program, &cluster, None);
        let login = |user: &str| Foreign::Psql.login(gateway.port, user, "secret", false);
        assert_eq!(login(&name), Login::In, "{program:?}");
        assert_eq!(login(&format!("{name}x")), Login::Refused, "{program:?}");
    }
}
