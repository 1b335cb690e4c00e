//! Random texts of pg_hba.conf, most of them with mistakes.

const CONNECTIONS: &[&str] = &[
    "local",
    "host",
    "hostssl",
    "hostnossl",
    "hostgssenc",
    "hostnogssenc",
    "host",
    "local",
    "host",
    "\"host\"",
    "Host",
    "include",
    "include_if_exists",
    "include_dir",
    "",
];
const WORDS: &[&str] = &[
    "all",
    "\"all\"",
    "replication",
    "sameuser",
    "a,b",
    "a, b",
    "a ,b",
    ",a",
    "a,",
    "\"a b\"",
    "\"a\"\"b\"",
    "@names",
    "@missing",
    "\"@names\"",
    "@",
    "+staff",
    "\"+staff\"",
    "/^a",
    "/a(",
    "a\"b c\"d",
    "\"\"",
    "\"open",
    "a#b",
    "all,all",
    "ünï",
    "@names,b",
];
const ADDRESSES: &[&str] = &[
    "127.0.0.1/32",
    "10.0.0.0 255.0.0.0",
    "10.0.0.0/8",
    "10.0.0.0/33",
    "10.0.0.0/-1",
    "10.0.0.0",
    "::1/128",
    "::1 ffff:ffff::",
    "::1/129",
    "10.0.0.1 ffff::",
    "all",
    "\"all\"",
    "samehost",
    "samenet",
    "example.com",
    ".example.com",
    "example.com/8",
    "127.1/8",
    "127.1 255.0",
    "10.0.0.0 255.0.255.0",
    "0.0.0.0/0",
    "::/0",
    "1.2.3",
    "a,b",
    "10.0.0.0/8,10.0.0.1/32",
    "fe80::1%lo/64",
    "10.0.0.0/8x",
    "300.0.0.0/8",
    "",
    "10.0.0.0/",
    "0x7f.1/8",
];
const METHODS: &[&str] = &[
    "trust",
    "reject",
    "md5",
    "scram-sha-256",
    "password",
    "peer",
    "ident",
    "cert",
    "gss",
    "sspi",
    "ldap",
    "radius",
    "pam",
    "bsd",
    "oauth",
    "krb5",
    "crypt",
    "\"md5\"",
    "trust,md5",
    "MD5",
    "scram-sha-256",
    "md5",
    "",
];
const OPTIONS: &[&str] = &[
    "",
    "",
    "",
    "",
    "map=m",
    "map",
    "clientcert=verify-full",
    "clientcert=verify-ca",
    "clientcert=1",
    "clientname=DN",
    "ldapserver=localhost",
    "ldapserver=localhost ldapprefix=x",
    "ldapserver=a ldapbasedn=b",
    "ldapurl=ldap://localhost/dc=a",
    "ldapport=x",
    "ldaptls=1",
    "pamservice=p",
    "krb_realm=R",
    "include_realm=0",
    "radiusservers=127.0.0.1 radiussecrets=s",
    "radiusservers=127.0.0.1",
    "unknown=1",
    "trust",
    "\"map=a b\"",
    "map=a,map=b",
    "ldapbindpasswd=hunter2 nonsense",
    "@names",
];
const BREAKS: &[&str] =
    &[" ", " ", " ", "\t", "  ", " \\\n", "\\\n", " \\ \n", " \\\\\n ", "\r", " # end"];
const ENDS: &[&str] =
    &["\n", "\n", "\n", "\r\n", " # a comment\n", "\\\n", "\n\n", "\n# a \\\n comment\n", ""];

pub(super) fn random_text(random: &mut fastrand::Rng) -> String {
    let mut text = String::new();
    for _ in 0..random.usize(0..=4) {
        // Most lines are right, because the first wrong one ends what can be compared.
        let is_wild = random.u8(..8) == 0;
        let mut pick = |from: &[&'static str], tame: usize| {
            from[random.usize(..if is_wild { from.len() } else { tame })]
        };
        let connection = pick(CONNECTIONS, 6);
        let address = if connection == "local" { "" } else { pick(ADDRESSES, 3) };
        let fields = [
            connection,
            pick(WORDS, 11),
            pick(WORDS, 11),
            address,
            pick(METHODS, 5),
            pick(OPTIONS, 4),
        ];
        for field in fields {
            text += field;
            text += pick(BREAKS, 5);
        }
        text += pick(ENDS, 5);
    }
    if random.u8(..30) == 0 {
        text += &format!("host {} all all md5\n", "x".repeat(random.usize(200..11_000)));
    }
    text
}
