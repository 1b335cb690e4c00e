//! Errors of the functions that set, rotate and check passwords of roles.

use super::{Case, DUPLICATE, MALFORMED, PARAMETER, UNDEFINED, case, hinted, told};

pub(super) const CASES: &[Case] = &[
    case("SELECT scram.set_role_password('nobody', 'hunter2')", UNDEFINED),
    case("SELECT scram.set_role_password('NOBODY', '')", PARAMETER),
    told(
        "BEGIN; SET LOCAL scram.guard = enforce; CREATE ROLE guarded PASSWORD 'guarded'",
        PARAMETER,
        &["password_is_name", "password_short"],
    ),
    // A stored hash, also a broken one, is no password.
    hinted("SELECT scram.set_role_password('postgres', '{v}')", PARAMETER, &["set_role_verifier"]),
    hinted(
        "SELECT scram.set_role_password('nobody', 'md5' || md5('hunter2'))",
        PARAMETER,
        &["set_role_verifier", "password"],
    ),
    hinted(
        "SELECT scram.set_role_password('postgres', scram.generate('hunter2', mechanism => 'SCRAM-SHA-512'))",
        PARAMETER,
        &["set_role_verifier"],
    ),
    hinted(
        "SELECT scram.set_role_password('postgres', 'SCRAM-SHA-256$04096:{salt}${stored}:{server}')",
        PARAMETER,
        &["set_role_verifier"],
    ),
    hinted(
        "SELECT scram.set_role_password('postgres', 'SCRAM-SHA-256096:{salt}{stored}:{server}')",
        PARAMETER,
        &["set_role_verifier"],
    ),
    hinted(
        "SELECT scram.change_own_password('hunter2', '{v}')",
        PARAMETER,
        &["set_role_verifier"],
    ),
    told("SELECT scram.set_role_password('postgres', 'hunter2', 4095)", PARAMETER, &["4096"]),
    told("SELECT scram.set_role_password('postgres', 'hunter2', 1000001)", PARAMETER, &["1000000"]),
    case(
        "BEGIN; SET LOCAL scram.salt_length = 1000;
         SELECT scram.set_role_password('postgres', 'hunter2')",
        PARAMETER,
    ),
    told("SELECT scram.set_role_verifier('postgres', 'hunter2')", MALFORMED, &[]),
    told("SELECT scram.set_role_verifier('postgres', '')", MALFORMED, &[]),
    told("SELECT scram.set_role_verifier('postgres', '{v} ')", MALFORMED, &["ServerKey"]),
    told(
        "SELECT scram.set_role_verifier('postgres', 'SCRAM-SHA-256$04096:{salt}${stored}:{server}')",
        MALFORMED,
        &["iteration"],
    ),
    told(
        "SELECT scram.set_role_verifier('postgres', 'md5' || md5('hunter2postgres'))",
        MALFORMED,
        &[],
    ),
    told(
        "SELECT scram.set_role_verifier('postgres', scram.generate('hunter2', mechanism => 'SCRAM-SHA-512'))",
        PARAMETER,
        &[],
    ),
    told(
        "SELECT scram.set_role_verifier('postgres',
         'SCRAM-SHA-256$4096:' || repeat('AAAA', 120) || '${stored}:{server}')",
        MALFORMED,
        &["512"],
    ),
    told(
        "SELECT scram.set_role_verifier('postgres', 'SCRAM-SHA-256$4095:{salt}${stored}:{server}')",
        PARAMETER,
        &["4096"],
    ),
    told(
        "SELECT scram.set_role_verifier('postgres', 'SCRAM-SHA-256$2147483647:{salt}${stored}:{server}')",
        PARAMETER,
        &["1000000"],
    ),
    // The verifier of the empty password: PBKDF2 with the salt "salt".
    told("SELECT scram.set_role_verifier('postgres', '{empty}')", PARAMETER, &["empty"]),
    case("SELECT scram.set_role_verifier('nobody', '{v}')", UNDEFINED),
    told("SELECT scram.rotate_role('postgres', 11)", PARAMETER, &["12", "256"]),
    told("SELECT scram.rotate_role('postgres', 257)", PARAMETER, &["12", "256"]),
    told("SELECT scram.rotate_role('postgres', -1)", PARAMETER, &["12", "256"]),
    told("SELECT scram.rotate_role('postgres', 24, 1)", PARAMETER, &["4096"]),
    case("SELECT scram.rotate_role('nobody')", UNDEFINED),
    case("SELECT scram.change_own_password('hunter2', 'hunter2')", "28P01"),
    case("SELECT scram.change_own_password('hunter2', '')", PARAMETER),
    case(
        "BEGIN; CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g;
         SELECT scram.create_rotation('', 'g', 'a', 'b')",
        PARAMETER,
    ),
    case("SELECT scram.create_rotation('r', 'nobody', 'postgres', 'postgres')", UNDEFINED),
    case("SELECT scram.create_rotation('r', 'pg_monitor', 'postgres', 'nobody')", UNDEFINED),
    case("SELECT scram.create_rotation('r', 'postgres', 'postgres', 'postgres')", PARAMETER),
    case(
        "BEGIN; CREATE ROLE g; CREATE ROLE a IN ROLE g; SELECT scram.create_rotation('r', 'g', 'a', 'a')",
        PARAMETER,
    ),
    case(
        "BEGIN; CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b;
         SELECT scram.create_rotation('r', 'g', 'a', 'b')",
        PARAMETER,
    ),
    case(
        "BEGIN; CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g;
         SELECT scram.create_rotation('r', 'g', 'a', 'b');
         SELECT scram.create_rotation('r', 'g', 'b', 'a')",
        DUPLICATE,
    ),
    case(
        "BEGIN; CREATE ROLE g; CREATE ROLE a IN ROLE g; CREATE ROLE b IN ROLE g; CREATE ROLE c IN ROLE g;
         SELECT scram.create_rotation('r', 'g', 'a', 'b');
         SELECT scram.create_rotation('s', 'g', 'b', 'c')",
        DUPLICATE,
    ),
    case("SELECT scram.rotate('r')", UNDEFINED),
    case("SELECT scram.finish_rotation('r', '-1 s')", PARAMETER),
    case("SELECT scram.finish_rotation('r')", UNDEFINED),
    case("SELECT scram.drop_rotation('r')", UNDEFINED),
    case("SET scram.password_history = 101", PARAMETER),
];
