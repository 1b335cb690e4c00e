//! The words of pg_hba.conf: read from the text of the file, as the server lists them, and as findings show them.

use password_audit::HbaRule;
use password_audit::hba::{self, AuthToken, Quoting, RawToken};

/// A line of a file, and its fields with the words that begin with a quote in angle brackets.
#[test]
fn words_of_a_file() {
    let cases: &[(&str, &[&str])] = &[
        ("local all all trust", &["1: local all all trust"]),
        ("  host\tall , all\r\n", &["1: host all all"]),
        ("# a comment\n\n \n", &[]),
        ("local all all trust # why", &["1: local all all trust"]),
        ("local all#b", &["1: local all"]),
        (r##"local "all" "a #b,c d" e"##, &["1: local <all> <a #b,c d> e"]),
        (r#"a "x""y" "", x"#, &[r#"1: a <x"y> <>,x"#]),
        (r#"x"all" ""all """"#, &[r#"1: xall <all> <">"#]),
        (r#"a "open , b"#, &["1: a <open , b>"]),
        ("a,b, c,,d e", &["1: a,b,c,d e"]),
        ("a \\\nb c\nd", &["1: a b c", "3: d"]),
        ("a\\\\\n\\\nb", &["1: a\\b"]),
        ("a\\\\\n\nb", &["1: a\\", "3: b"]),
        ("a\\", &["1: a"]),
        ("a b\0c\nd", &["1: a b", "2: d"]),
        ("@one b,@one,c", &["1: 1,<2> b,1,<2>,c"]),
        (r#""@one" @ @none,x @empty y"#, &["1: <@one> @ ? y"]),
    ];
    for (text, expected) in cases {
        let mut include = |name: &[u8]| {
            let raw = |bytes: &[u8], quoted| RawToken { bytes: bytes.to_vec(), quoted };
            match name {
                b"empty" => Some(Vec::new()),
                b"one" => Some(vec![raw(b"1", false), raw(b"2", true)]),
                _ => None,
            }
        };
        let shown = hba::tokenize(text.as_bytes(), &mut include).into_iter().map(|line| {
            let field = |field: &Option<Vec<RawToken>>| match field {
                None => "?".to_owned(),
                Some(tokens) => tokens.iter().map(word).collect::<Vec<_>>().join(","),
            };
            let fields = line.fields.iter().map(field).collect::<Vec<_>>();
            format!("{}: {}", line.number, fields.join(" "))
        });
        assert_eq!(shown.collect::<Vec<_>>(), *expected, "{text:?}");
    }
}

fn word(token: &RawToken) -> String {
    let text = String::from_utf8_lossy(&token.bytes);
    if token.quoted { format!("<{text}>") } else { text.into_owned() }
}

/// The quotes of a word are unknown unless the file holds the very words that the server lists.
#[test]
fn words_as_listed() {
    let raw = |text: &str, quoted| RawToken { bytes: text.into(), quoted };
    let field = [raw("all", true), raw("ann", false)];
    let quoting = |listed: &[&str], field: Option<&[RawToken]>| {
        let listed = listed.iter().map(|&text| (text.to_owned(), text.into())).collect();
        AuthToken::list(listed, field).into_iter().map(|token| token.quoting).collect::<Vec<_>>()
    };
    assert_eq!(quoting(&["all", "ann"], Some(&field)), [Quoting::Quoted, Quoting::Plain]);
    assert_eq!(quoting(&["all", "bob"], Some(&field)), [Quoting::Unknown; 2]);
    assert_eq!(quoting(&["all"], Some(&field)), [Quoting::Unknown]);
    assert_eq!(quoting(&["all"], None), [Quoting::Unknown]);
}

/// Findings know a rule by its text, so equal rules must have the same text, and others another one.
#[test]
fn rules_in_their_normal_form() {
    let quoted = |text: &str| AuthToken { quoting: Quoting::Quoted, ..AuthToken::plain(text) };
    let rule = |address: Option<&str>, netmask: Option<&str>| HbaRule {
        connection: "host".to_owned(),
        databases: vec![quoted("all"), AuthToken::plain("shop"), quoted("shop")],
        users: vec![quoted("a b"), quoted("+staff"), AuthToken::plain("x\"y")],
        address: address.map(AuthToken::plain),
        netmask: netmask.map(str::to_owned),
        method: "md5".to_owned(),
        options: vec!["b=2".to_owned(), "a=1".to_owned()],
        ..HbaRule::default()
    };
    let cases = [
        (None, None, ""),
        (Some("samenet"), None, "samenet "),
        (Some("10.0.0.1"), Some("255.255.255.255"), "10.0.0.1/32 "),
        (Some("10.0.0.1"), Some("255.0.0.0"), "10.0.0.0/8 "),
        (Some("10.0.0.0"), Some("255.0.255.0"), "10.0.0.0 255.0.255.0 "),
        (Some("fe80::1"), Some("ffff::"), "fe80::/16 "),
        (Some("10.0.0.2"), Some("255.0.0.0"), "10.0.0.0/8 #2"),
    ];
    let mut rules: Vec<_> = cases.iter().map(|(address, mask, _)| rule(*address, *mask)).collect();
    hba::name_rules(&mut rules);
    for (rule, (_, _, address)) in rules.iter().zip(cases) {
        let (address, rank) = address.split_once('#').map_or((address, ""), |(a, _)| (a, " #2"));
        let expected =
            format!(r#"host "all",shop "+staff","a b","x""y" {address}md5 a=1 b=2{rank}"#);
        assert_eq!(rule.text, expected);
    }
}

/// A line that is pasted from a finding is read as the rule that it is about.
#[test]
fn words_are_read_as_they_are_shown() {
    let words = [
        (Quoting::Plain, r#"+"the staff""#),
        (Quoting::Quoted, r#""+the staff""#),
        (Quoting::Plain, r#"+"a""b""#),
        (Quoting::Quoted, r#""a b""#),
    ];
    for (quoting, shown) in words {
        let lines = hba::tokenize(format!("local all {shown} trust").as_bytes(), &mut |_| None);
        let raw = &lines[0].fields[2].as_ref().expect("no file")[0];
        assert_eq!(raw.quoted, quoting == Quoting::Quoted, "{shown}");
        let text = String::from_utf8_lossy(&raw.bytes).into_owned();
        assert_eq!(AuthToken { text, quoting }.to_string(), shown);
    }
}

/// A text that is too long for an index still tells rules apart.
#[test]
fn long_rules() {
    let rule = |last: &str| HbaRule {
        users: (0..2000)
            .map(|i| AuthToken::plain(format!("rôle{i}")))
            .chain([AuthToken::plain(last)])
            .collect(),
        ..HbaRule::default()
    };
    let mut rules = [rule("zz1"), rule("zz2"), rule("zz1")];
    hba::name_rules(&mut rules);
    assert!(rules.iter().all(|rule| rule.text.len() < 1100));
    assert_ne!(rules[0].text, rules[1].text);
    assert_eq!(rules[2].text, format!("{} #2", rules[0].text));
}

/// A text may hold one field with as many words as its bytes allow, and reading it cannot be cancelled.
#[test]
fn a_field_of_many_words_is_read_in_linear_time() {
    let text = "a,".repeat(500_000);
    let lines = hba::tokenize(text.as_bytes(), &mut |_| None);
    let fields = &lines[0].fields;
    assert_eq!(fields.len(), 1);
    assert_eq!(fields[0].as_ref().map(Vec::len), Some(500_000));
    assert_eq!(hba::first_include(format!("local {text}@x all md5").as_bytes(), false), Some(1));
}
