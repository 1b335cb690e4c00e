//! Rotations under load: no connection is lost, and callers never see each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, RwLock};
use std::thread;

use scram_ext_client_tests::foreign::{Foreign, Login};
use scram_ext_client_tests::{Cluster, Raised, cell, until};

use super::{PAIR, finish, rotate};

/// 100 rotations while 20 clients log in all the time, each with the credentials that it read last.
#[test]
fn a_hundred_rotations_under_load_lose_no_connection() {
    const CLIENTS: usize = 20;
    const ROTATIONS: u64 = 100;
    // Cheap verifiers: most of the time is the clients' to derive keys.
    let cluster = Cluster::builder()
        .conf("scram.min_iterations = 1")
        .conf("scram.default_iterations = 64")
        .start();
    let mut admin = cluster.client();
    admin.batch_execute("CREATE EXTENSION scram_ext").expect("the extension");
    admin.batch_execute(PAIR).expect("a pair");
    // The contents of a secret store: the number of the rotation, and the credentials.
    let store = Arc::new(RwLock::new((0_u64, "app_a".to_owned(), "first".to_owned())));
    let seen: Arc<Vec<AtomicU64>> = Arc::new((0..CLIENTS).map(|_| AtomicU64::new(0)).collect());
    let stop = AtomicBool::new(false);
    let logins = AtomicU64::new(0);
    let failed = RwLock::new(Vec::new());
    thread::scope(|scope| {
        for mine in seen.iter() {
            let (store, stop, logins, failed, cluster) =
                (&store, &stop, &logins, &failed, &cluster);
            scope.spawn(move || {
                while !stop.load(SeqCst) {
                    let (generation, role, password) = store.read().expect("the store").clone();
                    let session = cluster.login(&role, password.as_bytes());
                    let answer = session.and_then(|mut session| session.simple_query("SELECT 1"));
                    if let Err(error) = answer {
                        failed.write().expect("a list").push(format!("{role}: {error:?}"));
                    }
                    logins.fetch_add(1, SeqCst);
                    // This one and all before it will not be used by this client again.
                    mine.store(generation, SeqCst);
                }
            });
        }
        for generation in 1..=ROTATIONS {
            let (role, password) = rotate(&mut admin);
            *store.write().expect("the store") = (generation, role, password);
            // An operator waits until all clients use the new credentials, and then until the old
            // sessions have ended.
            until("all clients have the new credentials", || {
                seen.iter().all(|seen| seen.load(SeqCst) >= generation).then_some(())
            });
            until("the old role is retired", || finish(&mut admin).0);
        }
        stop.store(true, SeqCst);
    });
    let failed = failed.into_inner().expect("a list");
    assert!(failed.is_empty(), "{} failed, {:?}", failed.len(), failed.first());
    let logins = logins.into_inner();
    assert!(logins >= ROTATIONS * CLIENTS as u64, "{logins} logins");
    println!("{logins} logins, {ROTATIONS} rotations, no failure");
}

/// Eight sessions change four roles in every way, while a ninth uses plain ALTER ROLE.
#[test]
fn many_at_once_never_see_each_other() {
    const SESSIONS: u64 = 8;
    const CHANGES: u64 = 500;
    // Cheap verifiers: it is the collisions that take time here.
    let cluster = Cluster::builder()
        .conf("scram.min_iterations = 1")
        .conf("scram.default_iterations = 64")
        .start();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE EXTENSION scram_ext;
             CREATE ROLE r0 LOGIN; CREATE ROLE r1 LOGIN; CREATE ROLE r2 LOGIN; CREATE ROLE r3 LOGIN;
             ALTER DATABASE postgres SET scram.password_history = 2",
        )
        .expect("roles");
    let stop = AtomicBool::new(false);
    let collisions = AtomicU64::new(0);
    let done: BTreeMap<u64, u64> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = cluster.client();
            while !stop.load(SeqCst) {
                for role in 0..4 {
                    // This statement may fail too, because it does not wait for the others.
                    let alter = format!("ALTER ROLE r{role} CONNECTION LIMIT 1{role}");
                    if let Err(error) = client.simple_query(&alter) {
                        assert!(
                            Raised::from_error(&error).message.starts_with("tuple concurrently")
                        );
                        collisions.fetch_add(1, SeqCst);
                    }
                }
            }
        });
        let sessions = (0..SESSIONS).map(|session| {
            let cluster = &cluster;
            scope.spawn(move || {
                let mut client = cluster.client();
                let mut random = session * 7919 + 1;
                for n in 0..CHANGES {
                    random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let (role, what) = ((random >> 33) % 4, (random >> 40) % 4);
                    let call = match what {
                        0 => format!("scram.set_role_password('r{role}', 'p {session} {n}')"),
                        1 => format!(
                            "scram.set_role_verifier('r{role}', scram.generate('v {session} {n}'))"
                        ),
                        _ => format!("scram.rotate_role('r{role}')"),
                    };
                    client
                        .simple_query(&format!("SELECT {call}"))
                        .unwrap_or_else(|error| panic!("{call}: {error:?}"));
                }
                (session, CHANGES)
            })
        });
        let sessions = sessions.collect::<Vec<_>>();
        let done = sessions.into_iter().map(|session| session.join());
        let done = done.collect::<Result<_, _>>();
        stop.store(true, SeqCst);
        done.expect("no session failed")
    });
    assert_eq!(done.values().sum::<u64>(), SESSIONS * CHANGES);
    println!(
        "{} changes; plain ALTER ROLE collided {} times",
        SESSIONS * CHANGES,
        collisions.into_inner()
    );
    let last = cell(&mut admin, "SELECT scram.rotate_role('r0')").expect("a password");
    assert_eq!(Foreign::Psql.login(cluster.port(), "r0", &last, false), Login::In);
    let kept = "SELECT max(count) FROM (SELECT count(*) FROM scram_internal.password_history GROUP BY role) k";
    assert_eq!(cell(&mut admin, kept).as_deref(), Some("2"));
}
