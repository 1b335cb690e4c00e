//! Reports on a fleet stay short and show no name as it is, whatever the servers send.

use audit_report::{
    Cluster, Counts, Fleet, FleetCheck, FleetFinding, FleetFormat, FleetServer, SharedSecret,
    Timestamp, WIDTH,
};
use password_audit::{CHECKS, Severity};

/// Line breaks, controls of terminals and of direction, markup, and the widest characters.
const HOSTILE: &str = "\n\"><script>x</script>\u{1b}[2J\u{202e}\u{200b}\u{1f600}漢'& CRITICAL (0)";

#[test]
fn a_thousand_hostile_servers() {
    let fleet = fleet(1000);
    let text = FleetFormat::Text.render(&fleet);
    assert!(text.lines().count() < 200, "{} lines", text.lines().count());
    for line in text.lines() {
        let columns = textwrap::core::display_width(line);
        assert!(columns <= WIDTH, "{columns} columns: {line:?}");
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert!(!line.contains(['\u{202e}', '\u{200b}']), "{line:?}");
    }
    let headings: Vec<_> = text.lines().filter(|line| line.starts_with("CRITICAL")).collect();
    assert_eq!(headings, ["CRITICAL (7,000)"]);
    assert!(text.contains("ERRORS (500)") && text.contains("and 492 more: SELECT"), "{text}");
    assert!(text.contains("and 6,990 more: SELECT * FROM scram.fleet_findings"), "{text}");
    assert!(text.contains("and 295 more: SELECT * FROM scram.fleet_shared;"), "{text}");

    let page = FleetFormat::Html.render(&fleet);
    assert!(page.len() < 500_000, "{} bytes", page.len());
    assert!(page.is_ascii() && !page.contains("<script>x"), "markup of a server");
    assert_eq!(page.matches("<script>").count(), 1);

    let metrics = FleetFormat::Prometheus.render(&fleet);
    assert!(!metrics.contains("subject") && !metrics.contains("evidence"), "{metrics}");
    let samples = metrics.lines().filter(|line| line.starts_with("scram_audit_fleet_up{")).count();
    assert_eq!(samples, 1000);
    let named = |line: &&str| line.starts_with("scram_audit_fleet_") || line.starts_with('#');
    assert_eq!(metrics.lines().filter(|line| !named(line)).count(), 0, "a name began a line");
}

#[test]
fn numbers_that_servers_made_up() {
    let mut fleet = fleet(3);
    fleet.servers.iter_mut().for_each(|server| server.left_out = i64::MAX);
    let text = FleetFormat::Text.render(&fleet);
    assert!(text.contains("9,223,372,036,854,775,807 findings were left out"), "{text}");
}

#[test]
fn an_empty_fleet() {
    let fleet = Fleet {
        checks: Vec::new(),
        critical: Vec::new(),
        shared: Vec::new(),
        shared_secrets: 0,
        ..fleet(0)
    };
    let text = FleetFormat::Text.render(&fleet);
    assert!(!text.contains("SHARE"), "{text}");
    assert!(text.contains("0 servers") && text.contains("SERVERS (0)"), "{text}");
    assert!(
        FleetFormat::Html.render(&fleet).contains("0 open findings, 0 critical, on 0 servers.")
    );
    assert!(FleetFormat::Prometheus.render(&fleet).contains("scram_audit_fleet_servers"));
}

#[test]
fn the_worst_server_comes_first() {
    let mut fleet = fleet(3);
    fleet.servers[2].name = "worst".to_owned();
    fleet.servers[2].findings.critical = 9;
    fleet.servers[2].error = None;
    let text = FleetFormat::Text.render(&fleet);
    let first = text.lines().skip_while(|line| !line.starts_with("server  ")).nth(1);
    assert!(first.is_some_and(|line| line.starts_with("worst ")), "{text}");
}

#[test]
fn secrets_that_clusters_share() {
    let members = vec!["dc1/app".to_owned(), "dc2/the app".to_owned()];
    let secret = SharedSecret { kind: "md5".to_owned(), clusters: 2, members, roles: 3 };
    let fleet = Fleet { shared: vec![secret], shared_secrets: 1, ..fleet(3) };
    let text = FleetFormat::Text.render(&fleet);
    assert!(text.contains("SECRETS THAT CLUSTERS SHARE (1)"), "{text}");
    assert!(text.contains("  - md5 in 2 clusters: dc1/app, \"dc2/the app\" and 1 more"), "{text}");
    let page = FleetFormat::Html.render(&fleet);
    assert!(page.contains("dc1/app, &quot;dc2/the app&quot; and 1 more"), "{page}");
    let metrics = FleetFormat::Prometheus.render(&fleet);
    let number =
        |line: &str| line.starts_with("scram_audit_fleet_shared_secrets{") && line.ends_with(" 1");
    assert!(metrics.lines().any(number), "{metrics}");
    assert!(!metrics.contains("dc1/app"), "{metrics}");
}

#[test]
fn formats_have_names() {
    for name in ["html", "prometheus", "text"] {
        assert!(FleetFormat::from_name(name).is_some(), "{name}");
    }
    assert_eq!(FleetFormat::from_name("json"), None);
}

fn fleet(servers: usize) -> Fleet {
    let now = Timestamp { utc: "2026-11-22T03:17:04Z".to_owned(), unix: 1_795_317_424.0 };
    let server = |at: usize| FleetServer {
        name: format!("{at}{HOSTILE}"),
        last_seen: Some(now.clone()),
        error: at.is_multiple_of(2).then(|| HOSTILE.repeat(10)),
        last_run: Some(now.clone()),
        status: "done".to_owned(),
        findings: Counts { critical: 7, warning: 2, notice: 1, accepted: 3 },
        left_out: 5,
    };
    let check = |id: &str, severity| FleetCheck {
        check_id: id.to_owned(),
        severity,
        findings: 7000,
        servers: 1000,
    };
    let checks = Severity::ALL.into_iter().flat_map(|severity| {
        CHECKS.iter().map(move |known| check(known.id, severity)).chain([check(HOSTILE, severity)])
    });
    let finding = FleetFinding {
        server: HOSTILE.to_owned(),
        source: HOSTILE.to_owned(),
        subject: HOSTILE.repeat(20),
        check_id: HOSTILE.to_owned(),
        evidence: HOSTILE.repeat(50),
    };
    let shared = SharedSecret {
        kind: HOSTILE.to_owned(),
        clusters: 1000,
        members: vec![HOSTILE.to_owned(); 20],
        roles: 5000,
    };
    Fleet {
        version: "1.2.3".to_owned(),
        generated_at: now.clone(),
        collector: Cluster {
            name: HOSTILE.to_owned(),
            database: HOSTILE.to_owned(),
            server_version: "15.1".to_owned(),
        },
        servers: (0..servers).map(server).collect(),
        checks: checks.collect(),
        critical: vec![finding; 500],
        shared: vec![shared; 100],
        shared_secrets: 300,
        known_checks: CHECKS,
    }
}
