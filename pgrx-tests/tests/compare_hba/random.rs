//! Random rules of pg_hba.conf, and changes of them.

const CONNECTIONS: &[&str] =
    &["local", "host", "host", "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc"];
const DATABASE_WORDS: &[&str] = &[
    "all",
    "all",
    "all",
    "shop",
    "sameuser",
    "samerole",
    "shop,ann",
    "\"all\"",
    "replication",
    "all,replication",
    "staff",
];
const USER_WORDS: &[&str] = &[
    "all",
    "all",
    "all",
    "ann",
    "+staff",
    "old,blank",
    "\"odd name\"",
    "expired,member",
    "standby",
    "standby,ann",
    "\"all\"",
    "old",
];
const ADDRESSES: &[&str] = &[
    "all",
    "all",
    "127.0.0.0/8",
    "127.0.0.1/32",
    "127.0.0.0/24",
    "127.0.0.0/31",
    "127.64.0.0/10",
    "127.128.0.0/9",
    "0.0.0.0/0",
    "::/0",
    "127.0.0.1 255.0.0.255",
    "samehost",
    "samenet",
    "10.0.0.0/8",
];
const METHODS: &[&str] =
    &["scram-sha-256", "scram-sha-256", "md5", "md5", "password", "reject", "trust"];

pub(super) fn random_rules(random: &mut fastrand::Rng) -> String {
    let mut rules = String::from("local all postgres trust\n");
    for _ in 0..random.usize(1..=6) {
        let mut pick = |from: &[&'static str]| from[random.usize(..from.len())];
        let connection = pick(CONNECTIONS);
        let address = if connection == "local" { "" } else { pick(ADDRESSES) };
        let (database, user, method) = (pick(DATABASE_WORDS), pick(USER_WORDS), pick(METHODS));
        rules += &format!("{connection} {database} {user} {address} {method}\n");
    }
    rules
}

/// The text with another rule, one rule less, or another method somewhere; or another text.
pub(super) fn changed(rules: &str, random: &mut fastrand::Rng) -> String {
    let mut lines: Vec<String> = rules.lines().map(str::to_owned).collect();
    let other = random_rules(random);
    match random.u8(..4) {
        0 => return other,
        1 if lines.len() > 2 => {
            lines.remove(random.usize(1..lines.len()));
        }
        2 => {
            let line = random.usize(1..lines.len());
            let end = lines[line].rfind(' ').expect("a method") + 1;
            lines[line].replace_range(end.., METHODS[random.usize(..METHODS.len())]);
        }
        _ => {
            let new = other.lines().last().expect("a rule").to_owned();
            lines.insert(random.usize(1..=lines.len()), new);
        }
    }
    lines.join("\n") + "\n"
}
