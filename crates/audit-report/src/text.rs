//! `text`: for a terminal or an e-mail. ASCII, except for names.

use textwrap::{Options, WordSplitter, WrapAlgorithm};

use password_audit::Severity;

use crate::model::{Change, Finding, Report};
use crate::show::{
    accepted_until, counted, day, duration, name, number, since, stored, subject, time, visible,
};

/// psql puts a `+` and a border around it in its aligned form.
pub(crate) const WIDTH: usize = 76;

/// How many runs the table of runs has.
const SHOWN_RUNS: usize = 10;

pub(crate) fn render(report: &Report) -> String {
    let mut page = Page::default();
    header(report, &mut page);
    summary(report, &mut page);
    for severity in Severity::ALL {
        findings(report, severity, &mut page);
    }
    fixed(report, &mut page);
    accepted(report, &mut page);
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
    page.hanging("", &scope);
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
            report.count(Change::New),
            report.count(Change::Changed),
            report.fixed.len()
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
    for source in report.sources() {
        let cells: Vec<_> = report
            .census
            .iter()
            .filter(|cell| cell.source == source)
            .map(|cell| {
                format!("{} with {}", number(cell.subjects), stored(&cell.kind, cell.iterations))
            })
            .collect();
        let what =
            if source == "role" { "Roles".to_owned() } else { format!("In {}", name(source)) };
        page.hanging("", &format!("{what}: {}.", cells.join("; ")));
    }
}

fn findings(report: &Report, severity: Severity, page: &mut Page) {
    let groups = report.by_check();
    let groups = groups.iter().filter(|(group, ..)| *group == severity);
    for (at, (_, id, findings)) in groups.enumerate() {
        if at == 0 {
            page.line("");
            page.title(
                &format!(
                    "{} ({})",
                    severity.as_str().to_uppercase(),
                    number(report.counts().of(severity))
                ),
                '-',
            );
        }
        page.line("");
        let count = findings.len();
        match report.check(id) {
            Some(check) => {
                let what = format!("{} ({count}): {}", visible(id), check.title);
                page.wrapped(&what, "", "    ");
                page.wrapped(check.remedy, "  To do: ", "         ");
            }
            None => page.hanging("", &format!("{} ({count})", visible(id))),
        }
        for finding in findings {
            page.hanging("  - ", &sentence(finding));
        }
    }
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
        visible(&finding.evidence)
    )
}

fn fixed(report: &Report, page: &mut Page) {
    let Some(before) = report.compared_with.as_ref().filter(|_| !report.fixed.is_empty()) else {
        return;
    };
    page.line("");
    page.title(&format!("FIXED SINCE RUN {} ({})", before.run_id, report.fixed.len()), '-');
    for fixed in &report.fixed {
        let who = subject(&fixed.source, &fixed.subject);
        page.hanging(
            "  - ",
            &format!("{who}: {} ({})", visible(&fixed.check_id), fixed.severity.as_str()),
        );
    }
}

fn accepted(report: &Report, page: &mut Page) {
    let mut accepted = report.accepted().peekable();
    if accepted.peek().is_none() {
        return;
    }
    page.line("");
    page.title(&format!("ACCEPTED, NOT COUNTED ABOVE ({})", number(report.counts().accepted)), '-');
    // Findings with the same reason share a line, because there are often many.
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for finding in accepted {
        let note = finding.note.as_deref().map(visible).unwrap_or_default();
        let what = format!(
            "{} ({}), {}: {note}",
            visible(&finding.check_id),
            finding.severity.as_str(),
            accepted_until(finding)
        );
        let who = subject(&finding.source, &finding.subject);
        match groups.iter_mut().find(|(known, _)| *known == what) {
            Some((_, all)) => all.push(who),
            None => groups.push((what, vec![who])),
        }
    }
    for (what, who) in groups {
        page.hanging("  - ", &what);
        page.hanging("      ", &who.join(", "));
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
        self.wrapped(text, "", "");
    }

    /// Indents the lines after the first one, so that no text from a catalog can begin a line.
    fn hanging(&mut self, mark: &str, text: &str) {
        self.wrapped(text, mark, &" ".repeat(mark.len() + 2));
    }

    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        let options = Options::new(WIDTH)
            .initial_indent(first)
            .subsequent_indent(others)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        for line in textwrap::wrap(text, options) {
            self.line(&line);
        }
    }
}
