//! `text`: for a terminal or an e-mail. ASCII, except for names.

use std::collections::BTreeMap;

mod fleet;

use textwrap::{Options, WordSplitter, WrapAlgorithm};

use password_audit::Severity;

use crate::model::{Change, Finding, Report};
use crate::remedy;
use crate::show::{
    accepted_until, counted, cut, day, duration, name, number, since, stored, subject, time,
    visible,
};

pub(crate) use fleet::render as render_fleet;

/// psql puts a `+` and a border around it in its aligned form.
pub(crate) const WIDTH: usize = 76;

/// How many subjects of an acceptance are named.
const ACCEPTED_NAMES: usize = 20;

/// How many runs the table of runs has.
const SHOWN_RUNS: usize = 10;

/// A report has fewer lines than this.
const MAX_LINES: usize = 200;

/// Lines that one entry has at most: some names and evidences are long.
const ENTRY_LINES: usize = 4;

/// How many sources and kinds of secrets the census names.
const SHOWN_SOURCES: usize = 5;
const SHOWN_KINDS: usize = 8;

/// How many findings of each check are listed: of critical checks, warnings and notices. `None`: a line
/// for each check. The first row with which the report is short enough is taken.
const LISTED: [[Option<usize>; 3]; 10] = [
    [Some(50), Some(50), Some(50)],
    [Some(20), Some(20), Some(20)],
    [Some(10), Some(10), Some(10)],
    [Some(10), Some(5), Some(3)],
    [Some(5), Some(3), Some(2)],
    [Some(5), Some(2), None],
    [Some(3), Some(1), None],
    [Some(2), None, None],
    [Some(1), None, None],
    [None, None, None],
];

pub(crate) fn render(report: &Report) -> String {
    let mut text = String::new();
    for listed in LISTED {
        text = render_listed(report, listed);
        if text.lines().count() < MAX_LINES {
            return text;
        }
    }
    // Many checks that this version does not know.
    let lines: Vec<&str> = text.lines().take(MAX_LINES - 2).collect();
    format!("{}\n...", lines.join("\n"))
}

fn render_listed(report: &Report, listed: [Option<usize>; 3]) -> String {
    let mut page = Page::default();
    header(report, &mut page);
    summary(report, &mut page);
    for (severity, listed) in Severity::ALL.into_iter().zip(listed) {
        findings(report, severity, listed, &mut page);
    }
    // The other lists grow and shrink with that of the warnings.
    let others = listed[1].unwrap_or(3);
    fixed(report, others, &mut page);
    accepted(report, others, &mut page);
    runs(report, &mut page);
    page.0.trim_end().to_owned()
}

fn header(report: &Report, page: &mut Page) {
    let run = &report.run;
    let mut scope = format!("database {}", name(&report.cluster.database));
    if !report.cluster.name.is_empty() {
        scope = format!("{scope} of cluster {}", name(&report.cluster.name));
    }
    page.title("Password audit", '=');
    page.entry("", &scope);
    let mut when = format!("Run {}, {}: {}", run.run_id, run.status, time(&run.started_at));
    if let Some(seconds) = run.duration() {
        when.push_str(&format!(", took {}", duration(seconds)));
    }
    page.paragraph(&when);
    if let Some(remark) = unfinished(&run.status) {
        page.paragraph(remark);
    }
    page.line("");
}

/// The remark on a run that is not done.
pub(crate) fn unfinished(status: &str) -> Option<&'static str> {
    match status {
        "interrupted" => Some(
            "It did not come to its end: what it has not reached stands as the run before left it.",
        ),
        "partial" => {
            Some("Its time was spent before everything was tried: the next run goes on there.")
        }
        "running" => {
            Some("It is not over: what it has not reached stands as the run before left it.")
        }
        _ => None,
    }
}

fn summary(report: &Report, page: &mut Page) {
    let counts = report.counts();
    for severity in Severity::ALL {
        page.line(&format!("{:>8} {}", number(counts.of(severity)), severity.as_str()));
    }
    page.line(&format!("{:>8} accepted", number(counts.accepted)));
    page.line("");

    page.paragraph(&match &report.compared_with {
        Some(before) => format!(
            "Since run {} of {}: {} new, {} changed, {} fixed.",
            before.run_id,
            day(&before.started_at),
            total(report.count(Change::New)),
            total(report.count(Change::Changed)),
            total(report.fixed.len())
        ),
        None => "There is no finished run before it to compare with.".to_owned(),
    });
    let run = &report.run;
    let left = match run.candidates_left {
        0 if run.status == "done" => ", none is left".to_owned(),
        0 => String::new(),
        left => format!(", {} are left", number(left)),
    };
    page.paragraph(&format!(
        "{} looked at, {} tried{left}.",
        counted(run.subjects, "subject", "subjects"),
        counted(run.candidates_tested, "password", "passwords"),
    ));
    if let Some(hidden) = &run.hidden {
        page.entry("", &format!("Policy hides {}.", visible(hidden)));
    }
    let sources = report.sources();
    let (shown, rest) = sources.split_at(sources.len().min(SHOWN_SOURCES));
    for source in shown {
        let what =
            if *source == "role" { "Roles".to_owned() } else { format!("In {}", name(source)) };
        page.entry("", &format!("{what}: {}.", stored_in(report, source)));
    }
    if !rest.is_empty() {
        page.line(&format!("And {}.", counted(rest.len() as i64, "more source", "more sources")));
    }
}

/// The kinds of secrets in a source, in the order of the census; of many the most frequent ones.
fn stored_in(report: &Report, source: &str) -> String {
    let mut cells: Vec<_> = report.census.iter().filter(|cell| cell.source == source).collect();
    let mut more = String::new();
    if cells.len() > SHOWN_KINDS {
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.subjects));
        let rest = cells.split_off(SHOWN_KINDS);
        let subjects = rest.iter().map(|cell| cell.subjects).sum();
        more = format!("; {} of {} more kinds", number(subjects), rest.len());
    }
    let shown: Vec<_> = cells
        .iter()
        .map(|cell| {
            format!("{} with {}", number(cell.subjects), stored(&cell.kind, cell.iterations))
        })
        .collect();
    format!("{}{more}", shown.join("; "))
}

fn findings(report: &Report, severity: Severity, listed: Option<usize>, page: &mut Page) {
    let groups = report.by_check();
    let mut groups = groups.iter().filter(|(group, ..)| *group == severity).peekable();
    if groups.peek().is_none() {
        return;
    }
    page.line("");
    let count = number(report.counts().of(severity));
    page.title(&format!("{} ({count})", severity.as_str().to_uppercase()), '-');
    for (_, id, findings) in groups {
        let title = report.check(id).map(|check| format!(": {}", check.title)).unwrap_or_default();
        let heading = format!("{} ({}){title}", visible(id), total(findings.len()));
        let Some(listed) = listed else {
            page.limited(&heading, "", "", 1);
            continue;
        };
        page.line("");
        page.limited(&heading, "", "    ", 2);
        group(report, id, findings, listed, page);
    }
    if listed.is_none() {
        let listing = format!(
            "SELECT check_id, subject, evidence FROM scram.audit_finding WHERE severity = '{}' AND status = 'open' AND NOT is_off;",
            severity.as_str()
        );
        page.wrapped(&listing, "    ", "    ");
    }
}

/// The findings of a check, the worst first, and what ends them.
fn group(report: &Report, id: &str, findings: &[&Finding], listed: usize, page: &mut Page) {
    let (shown, rest) = findings.split_at(findings.len().min(listed));
    for finding in shown {
        page.entry("  - ", &sentence(finding));
    }
    if let Some(finding) = rest.first() {
        let listing = remedy::listing(report, id, finding.severity.as_str());
        page.wrapped(&format!("  and {} more: {listing}", total(rest.len())), "", "    ");
    }
    if let Some(check) = report.check(id) {
        page.wrapped(check.remedy, "  To do: ", "         ");
    }
    for line in remedy::commands(report, id, shown, WIDTH - 4) {
        page.line(&format!("    {line}"));
    }
}

fn total(count: usize) -> String {
    number(i64::try_from(count).unwrap_or(i64::MAX))
}

fn sentence(finding: &Finding) -> String {
    let age = match finding.change {
        Some(Change::Changed) => format!("changed, since {}", since(finding)),
        Some(Change::New) => "NEW".to_owned(),
        None => format!("since {}", since(finding)),
    };
    format!(
        "{}: {} ({age})",
        subject(&finding.source, &finding.subject),
        visible(&cut(&finding.evidence, ENTRY_LINES * WIDTH))
    )
}

fn fixed(report: &Report, listed: usize, page: &mut Page) {
    let Some(before) = report.compared_with.as_ref().filter(|_| !report.fixed.is_empty()) else {
        return;
    };
    page.line("");
    let count = total(report.fixed.len());
    page.title(&format!("FIXED SINCE RUN {} ({count})", before.run_id), '-');
    let (shown, rest) = report.fixed.split_at(report.fixed.len().min(listed));
    for fixed in shown {
        let who = subject(&fixed.source, &fixed.subject);
        page.limited(
            &format!("{who}: {} ({})", visible(&fixed.check_id), fixed.severity.as_str()),
            "  - ",
            "      ",
            2,
        );
    }
    if !rest.is_empty() {
        let listing = format!(
            "SELECT * FROM scram.audit_diff({}, {}) WHERE change = 'fixed';",
            before.run_id, report.run.run_id
        );
        page.wrapped(&format!("  and {} more: {listing}", total(rest.len())), "", "    ");
    }
}

fn accepted(report: &Report, listed: usize, page: &mut Page) {
    let mut accepted = report.accepted().peekable();
    if accepted.peek().is_none() {
        return;
    }
    page.line("");
    page.title(&format!("ACCEPTED, NOT COUNTED ABOVE ({})", number(report.counts().accepted)), '-');
    // Findings with the same reason share a line, because there are often many.
    let mut groups: BTreeMap<(Severity, String), Vec<&Finding>> = BTreeMap::new();
    for finding in accepted {
        let note = finding.note.as_deref().map(|note| cut(note, ENTRY_LINES * WIDTH));
        let note = note.map(|note| format!(": {}", visible(&note)));
        let what = format!(
            "{} ({}), {}{}",
            visible(&finding.check_id),
            finding.severity.as_str(),
            accepted_until(finding),
            note.unwrap_or_default()
        );
        groups.entry((finding.severity, what)).or_default().push(finding);
    }
    let rest = groups.len().saturating_sub(listed);
    for ((_, what), findings) in groups.iter().take(listed) {
        page.limited(what, "  - ", "      ", 2);
        let (shown, more) = findings.split_at(findings.len().min(ACCEPTED_NAMES));
        let mut who: Vec<_> = shown.iter().map(|one| subject(&one.source, &one.subject)).collect();
        if !more.is_empty() {
            who.push(format!("and {} more", total(more.len())));
        }
        page.limited(&who.join(", "), "      ", "        ", 3);
    }
    if rest > 0 {
        let listing = "SELECT * FROM scram.audit_finding WHERE status = 'accepted';";
        page.wrapped(&format!("  and {rest} more reasons: {listing}"), "", "    ");
    }
}

fn runs(report: &Report, page: &mut Page) {
    if report.history.len() < 2 {
        return;
    }
    page.line("");
    page.title("LAST RUNS", '-');
    page.line("     run  started                   critical  warning   notice  accepted");
    for period in report.history.iter().rev().take(SHOWN_RUNS) {
        let found = &period.findings;
        page.line(&format!(
            "{:>8}  {:<24}  {:>8} {:>8} {:>8}  {:>8}",
            period.run_id,
            time(&period.started_at),
            number(found.critical),
            number(found.warning),
            number(found.notice),
            number(found.accepted)
        ));
    }
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn title(&mut self, title: &str, underline: char) {
        self.line(title);
        self.line(&underline.to_string().repeat(title.len()));
    }

    fn paragraph(&mut self, text: &str) {
        self.limited(text, "", "", ENTRY_LINES);
    }

    /// Indents the lines after the first one, so that no text from a catalog can begin a line.
    fn entry(&mut self, mark: &str, text: &str) {
        self.limited(text, mark, &" ".repeat(mark.len() + 2), ENTRY_LINES);
    }

    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        self.limited(text, first, others, usize::MAX);
    }

    /// The last line of a longer text ends in an ellipsis.
    fn limited(&mut self, text: &str, first: &str, others: &str, lines: usize) {
        // A text that cannot be shown need not be wrapped.
        let text = &cut(text, lines.saturating_mul(WIDTH));
        let options = |width| {
            Options::new(width)
                .initial_indent(first)
                .subsequent_indent(others)
                .word_splitter(WordSplitter::NoHyphenation)
                .wrap_algorithm(WrapAlgorithm::FirstFit)
        };
        let mut wrapped = textwrap::wrap(text, options(WIDTH));
        let is_cut = wrapped.len() > lines;
        if is_cut {
            // With room for the ellipsis.
            wrapped = textwrap::wrap(text, options(WIDTH - 4));
            wrapped.truncate(lines);
        }
        let last = wrapped.len().saturating_sub(1);
        for (at, line) in wrapped.iter().enumerate() {
            let end = if is_cut && at == last { " ..." } else { "" };
            self.line(&format!("{line}{end}"));
        }
    }
}
