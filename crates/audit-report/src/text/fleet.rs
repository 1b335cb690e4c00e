//! The text form of a report on a fleet.

use password_audit::Severity;

use super::{ENTRY_LINES, Page, WIDTH, total};
use crate::fleet::{Fleet, FleetServer};
use crate::model::Timestamp;
use crate::show::{counted, cut, name, number, subject, time, visible};

/// Entries of each list at most: with them the report has fewer than 200 lines.
const SHOWN_ERRORS: usize = 8;
const SHOWN_SERVERS: usize = 32;
const SHOWN_CHECKS: usize = 20;
const SHOWN_FINDINGS: usize = 10;
const SHOWN_SHARED: usize = 5;

/// Characters of a server's name in the table.
const NAME_CHARACTERS: usize = 19;

pub(crate) fn render(fleet: &Fleet) -> String {
    let mut page = Page::default();
    summary(fleet, &mut page);
    errors(fleet, &mut page);
    servers(fleet, &mut page);
    checks(fleet, &mut page);
    findings(fleet, &mut page);
    shared(fleet, &mut page);
    page.0.trim_end().to_owned()
}

fn summary(fleet: &Fleet, page: &mut Page) {
    page.title("Password audits of the fleet", '=');
    let servers = counted(fleet.servers.len() as i64, "server", "servers");
    let database = name(&fleet.collector.database);
    page.entry("", &format!("{servers}, collected in database {database}"));
    page.paragraph(&format!("Report of {}", time(&fleet.generated_at)));
    page.line("");
    let counts = fleet.counts();
    for severity in Severity::ALL {
        page.line(&format!("{:>8} {}", number(counts.of(severity)), severity.as_str()));
    }
    page.line(&format!("{:>8} accepted", number(counts.accepted)));
    let left_out =
        fleet.servers.iter().fold(0_i64, |sum, server| sum.saturating_add(server.left_out));
    if left_out > 0 {
        page.line("");
        page.paragraph(&format!(
            "{} were left out, because a server sends 10,000 at most.",
            counted(left_out, "finding", "findings")
        ));
    }
}

fn errors(fleet: &Fleet, page: &mut Page) {
    let failed = fleet.failed();
    if failed.is_empty() {
        return;
    }
    page.line("");
    page.title(&format!("ERRORS ({})", total(failed.len())), '-');
    for server in failed.iter().take(SHOWN_ERRORS) {
        let error = visible(&cut(server.error.as_deref().unwrap_or_default(), ENTRY_LINES * WIDTH));
        let seen = seen(server.last_seen.as_ref());
        page.entry("  - ", &format!("{}: {error} (last seen: {seen})", name(&server.name)));
    }
    more(
        failed.len(),
        SHOWN_ERRORS,
        "SELECT name, last_seen, error FROM scram.fleet_server WHERE error IS NOT NULL;",
        page,
    );
}

fn servers(fleet: &Fleet, page: &mut Page) {
    page.line("");
    page.title(&format!("SERVERS ({})", total(fleet.servers.len())), '-');
    page.line("server               last run                 status       critical  warning");
    let servers = fleet.worst_first();
    for server in servers.iter().take(SHOWN_SERVERS) {
        page.line(&row(server));
    }
    more(servers.len(), SHOWN_SERVERS, "SELECT * FROM scram.fleet_server;", page);
}

fn row(server: &FleetServer) -> String {
    format!(
        "{}  {:<23}  {:<11}  {:>8} {:>8}",
        column(&name(&server.name)),
        seen(server.last_run.as_ref()),
        visible(server.shown_status()),
        number(server.findings.critical),
        number(server.findings.warning)
    )
}

/// The text in the width of its column, which is measured because a character may take two columns of the terminal.
fn column(text: &str) -> String {
    let mut shown = text.to_owned();
    while textwrap::core::display_width(&shown) > NAME_CHARACTERS {
        shown.pop();
    }
    let missing = NAME_CHARACTERS - textwrap::core::display_width(&shown);
    shown + &" ".repeat(missing)
}

fn seen(moment: Option<&Timestamp>) -> String {
    moment.map_or_else(|| "never".to_owned(), time)
}

fn checks(fleet: &Fleet, page: &mut Page) {
    if fleet.checks.is_empty() {
        return;
    }
    page.line("");
    page.title("OPEN FINDINGS BY CHECK", '-');
    for check in fleet.checks.iter().take(SHOWN_CHECKS) {
        let title = match fleet.title(&check.check_id) {
            "" => String::new(),
            title => format!(": {title}"),
        };
        let (findings, servers) =
            (number(check.findings), counted(check.servers, "server", "servers"));
        let id = visible(&check.check_id);
        let severity = check.severity.as_str();
        page.limited(
            &format!("{id} ({severity}, {findings} on {servers}){title}"),
            "  - ",
            "      ",
            2,
        );
    }
    let listing = "SELECT check_id, severity, count(*) FROM scram.fleet_findings WHERE status = 'open' GROUP BY 1, 2;";
    more(fleet.checks.len(), SHOWN_CHECKS, listing, page);
}

fn findings(fleet: &Fleet, page: &mut Page) {
    let critical = fleet.counts().critical;
    if critical == 0 {
        return;
    }
    page.line("");
    page.title(&format!("CRITICAL ({})", number(critical)), '-');
    for finding in fleet.critical.iter().take(SHOWN_FINDINGS) {
        let on = subject(&finding.source, &finding.subject);
        let evidence = visible(&cut(&finding.evidence, ENTRY_LINES * WIDTH));
        let id = visible(&finding.check_id);
        page.entry("  - ", &format!("{}: {on}: {id}: {evidence}", name(&finding.server)));
    }
    let all = usize::try_from(critical).unwrap_or(usize::MAX);
    let listing =
        "SELECT * FROM scram.fleet_findings WHERE status = 'open' AND severity = 'critical';";
    more(all, SHOWN_FINDINGS.min(fleet.critical.len()), listing, page);
}

fn shared(fleet: &Fleet, page: &mut Page) {
    if fleet.shared_secrets == 0 {
        return;
    }
    page.line("");
    page.title(&format!("SECRETS THAT CLUSTERS SHARE ({})", number(fleet.shared_secrets)), '-');
    for secret in fleet.shared.iter().take(SHOWN_SHARED) {
        let clusters = number(secret.clusters);
        let members = cut(&secret.shown_members(), ENTRY_LINES * WIDTH);
        page.entry("  - ", &format!("{} in {clusters} clusters: {members}", name(&secret.kind)));
    }
    let all = usize::try_from(fleet.shared_secrets).unwrap_or(usize::MAX);
    let shown = SHOWN_SHARED.min(fleet.shared.len());
    more(all, shown, "SELECT * FROM scram.fleet_shared;", page);
}

fn more(all: usize, shown: usize, listing: &str, page: &mut Page) {
    if all > shown {
        page.wrapped(&format!("  and {} more: {listing}", total(all - shown)), "", "    ");
    }
}
