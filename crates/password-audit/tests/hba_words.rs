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

/// A rule is shown with quotes where it would be another one without them.
#[test]
fn rules_in_words() {
    let quoted = |text: &str| AuthToken { quoting: Quoting::Quoted, ..AuthToken::plain(text) };
    let rule = HbaRule {
        connection: "host".to_owned(),
        databases: vec![quoted("all"), quoted("shop"), AuthToken::plain("all")],
        users: vec![quoted("+staff"), quoted("a b"), AuthToken::plain("x\"y")],
        address: Some(AuthToken::plain("10.0.0.1")),
        netmask: Some("255.255.255.255".to_owned()),
        ..HbaRule::default()
    };
    assert_eq!(rule.describe(), r#"host "all",shop,all "+staff","a b","x""y" 10.0.0.1"#);
}
