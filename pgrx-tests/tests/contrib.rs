//! The files of contrib/ for monitoring: their queries run, and their metrics are those of the extension.

use std::collections::BTreeSet;
use std::fs;

use postgres::Client;
use scram_ext_client_tests::foreign::Exporter;
use scram_ext_client_tests::{Cluster, cell, docs, foreign, rows};

#[test]
fn the_exporters_queries_run_for_a_role_with_one_grant() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE metrics LOGIN; GRANT EXECUTE ON FUNCTION scram.audit_metrics() TO metrics",
        )
        .expect("a role");
    let mut client = cluster.client_as("metrics", "postgres");
    let open = "SELECT m[1] FROM regexp_matches(scram.audit_metrics(), 'open_findings.*critical.* (\\d+)$', 'gn') m";
    for round in 0..2 {
        let exporter = read("postgres_exporter/queries.yaml");
        let queries = queries(&exporter);
        assert_eq!(queries.len(), 2);
        for (query, rest) in &queries {
            let declared = keys(rest, "    - ");
            assert_eq!(columns(&mut client, query), declared, "{query}");
            assert!(rows(&mut client, query).len() <= 3, "{query}");
        }
        let critical =
            format!("SELECT findings FROM ({}) q WHERE severity = 'critical'", queries[1].0);
        assert_eq!(cell(&mut client, &critical), cell(&mut client, open), "round {round}");

        let collector = read("sql_exporter/scram_audit.collector.yml");
        for metric in collector.split("  - metric_name: ").skip(1) {
            let (query, _) = self::queries(metric).remove(0);
            let declared =
                ["key_labels", "values"].iter().flat_map(|key| list(metric, key)).collect();
            assert_eq!(columns(&mut client, &query), declared, "{metric}");
            let name = metric.lines().next().expect("a name");
            let known = cell(&mut client, "SELECT scram.audit_metrics()").expect("metrics");
            let samples =
                known.lines().filter(|line| line.starts_with(&format!("{name}{{"))).count();
            assert_eq!(rows(&mut client, &query).len(), samples, "{name}");
        }
        admin
            .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL '2100-01-01'")
            .unwrap_or(());
        admin.batch_execute("CALL scram.run_audit()").expect("a run");
    }
}

/// The two programs that Debian packages, with the files of contrib/.
#[test]
fn exporters_tell_what_the_extension_tells() {
    let cluster = Cluster::with_extension();
    let mut admin = cluster.client();
    admin
        .batch_execute(
            "CREATE ROLE metrics LOGIN; GRANT EXECUTE ON FUNCTION scram.audit_metrics() TO metrics;
             CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL '2100-01-01'",
        )
        .expect("roles");
    admin.batch_execute("CALL scram.run_audit()").expect("a run");
    let contrib = docs::root().join("contrib");
    let job = read("sql_exporter/scram_audit.job.yml");
    let connection = format!(
        "postgres://metrics@/postgres?host={}&port={}&sslmode=disable",
        cluster.dir().display(),
        cluster.port()
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("job.yml");
    let example = "postgres://metrics@localhost/postgres?sslmode=disable";
    assert!(job.contains(example));
    fs::write(&file, job.replace(example, &connection)).expect("a configuration");

    let exporters = [
        Exporter::postgres(&cluster, "metrics", &contrib.join("postgres_exporter/queries.yaml")),
        Exporter::sql(&file),
    ];
    let severities = ["critical", "warning", "notice"];
    let counts = severities.map(|severity| {
        let count = format!(
            "SELECT count(*)::text FROM scram.audit_finding WHERE status = 'open' AND severity = '{severity}'"
        );
        cell(&mut admin, &count).expect("a count")
    });
    assert_ne!(counts[0], "0");
    for exporter in exporters {
        let told = exporter.metrics();
        for (severity, count) in severities.iter().zip(&counts) {
            let label = format!("severity=\"{severity}\"");
            let value = told
                .iter()
                .find(|line| line.contains("open_findings") && line.contains(&label))
                .and_then(|line| line.rsplit(' ').next());
            assert_eq!(value.unwrap_or("0"), count, "{severity}: {told:#?}");
        }
        // 2100-01-01.
        let expiry = told.iter().find(|line| line.contains("next_expiry")).expect("an expiry");
        assert!(expiry.ends_with(" 4.1024448e+09"), "{expiry}");
    }
}

#[test]
fn alerts_and_dashboard_use_metrics_that_there_are() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    client
        .batch_execute("CREATE ROLE ann LOGIN PASSWORD 'ann' VALID UNTIL '2100-01-01'")
        .expect("a role");
    for _ in 0..2 {
        client.batch_execute("CALL scram.run_audit()").expect("a run");
    }
    let known = cell(&mut client, "SELECT scram.audit_metrics()").expect("metrics");
    let known = metrics(&known);
    for file in ["prometheus/scram_audit.rules.yml", "grafana/scram_audit.json"] {
        let text = read(file);
        let expressions = text.lines().filter(|line| line.contains("expr"));
        let used = metrics(&expressions.collect::<Vec<_>>().join("\n"));
        assert!(used.len() >= 4, "{used:?}");
        assert!(used.is_subset(&known), "{file}: {:?}", used.difference(&known));
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("grafana/scram_audit.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_i64()).collect();
    assert_eq!(ids.len(), panels.len());
}

/// Prometheus' own tool runs the tests of the alerts.
#[test]
fn promtool_accepts_the_alerts() {
    let folder = docs::root().join("contrib/prometheus");
    let said = foreign::promtool(&folder, &["check", "rules", "scram_audit.rules.yml"]);
    assert!(said.contains("5 rules found"), "{said}");
    foreign::promtool(&folder, &["test", "rules", "scram_audit.test.yml"]);
}

fn read(file: &str) -> String {
    fs::read_to_string(docs::root().join("contrib").join(file)).expect(file)
}

/// Each `query: |` of a YAML file, and the text between it and the next one.
fn queries(text: &str) -> Vec<(String, String)> {
    let parts = text.split("query: |\n").skip(1).map(|part| {
        let indent = part.len() - part.trim_start().len();
        let is_query = |line: &&str| line.starts_with(&" ".repeat(indent));
        let query: Vec<_> = part.lines().take_while(is_query).map(str::trim).collect();
        let rest: Vec<_> = part.lines().skip(query.len()).collect();
        (query.join("\n"), rest.join("\n"))
    });
    parts.collect()
}

/// The keys of the list items that begin like this.
fn keys(text: &str, beginning: &str) -> BTreeSet<String> {
    let items = text.lines().filter_map(|line| line.strip_prefix(beginning)?.strip_suffix(':'));
    items.map(str::to_owned).collect()
}

/// The words of `key: [a, b]`.
fn list(text: &str, key: &str) -> Vec<String> {
    let (_, rest) = text.split_once(&format!("{key}: [")).expect(key);
    rest.split(']').next().expect("a list").split(", ").map(str::to_owned).collect()
}

fn columns(client: &mut Client, query: &str) -> BTreeSet<String> {
    let statement = client.prepare(query).expect(query);
    statement.columns().iter().map(|column| column.name().to_owned()).collect()
}

/// Names of metrics in a text.
fn metrics(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("scram_audit_")).map(str::to_owned).collect()
}
