//! A page in headless Chromium.

use std::fs;
use std::process::{Command, Stdio};

/// A page after its script has run.
#[derive(Debug)]
pub struct Page {
    /// The document, as the browser has it then.
    pub dom: String,
    /// The console's lines: errors of scripts, and violations of the content security policy.
    pub console: Vec<String>,
    /// The requests that the page made, without the browser's own.
    pub requests: Vec<String>,
}

impl Page {
    /// Opens a page from a file, with this behind "#" in its address.
    pub fn open(html: &str, fragment: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("scram_ext_page.").tempdir().expect("a folder");
        let (file, net) = (dir.path().join("page.html"), dir.path().join("net.json"));
        fs::write(&file, html).expect("the page");

        let mut command = Command::new("chromium");
        // Without the sandbox, because root and containers cannot create it.
        command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]);
        command.args(["--no-first-run", "--host-resolver-rules=MAP * ~NOTFOUND"]);
        command.arg(format!("--user-data-dir={}", dir.path().join("profile").display()));
        command.arg(format!("--log-net-log={}", net.display()));
        command.args(["--enable-logging=stderr", "--dump-dom"]);
        command.arg(format!("file://{}#{fragment}", file.display())).stdin(Stdio::null());
        let output = command.output().unwrap_or_else(|error| panic!("chromium: {error}"));
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "chromium: {}\n{stderr}", output.status);

        let net = fs::read_to_string(net).expect("the browser's log of requests");
        let own = "\"initiator\":\"not an origin\"";
        let requested = |line: &&str| line.contains("\"initiator\":") && !line.contains(own);
        Self {
            dom: String::from_utf8(output.stdout).expect("UTF-8"),
            console: lines(stderr.lines().filter(|line| line.contains(":CONSOLE:"))),
            requests: lines(net.lines().filter(requested)),
        }
    }

    /// The first cell of the kind in each row of the table's body, as text.
    pub fn column(&self, table: &str, opening: &str) -> Vec<String> {
        let (_, rest) = self.dom.split_once(&format!("id=\"{table}\"")).expect("the table");
        let (rows, _) = rest.split_once("</table>").expect("its end");
        let (_, body) = rows.split_once("<tbody>").expect("its body");
        let cells = body.split("<tr").skip(1).map(|row| {
            let (_, cell) =
                row.split_once(opening).unwrap_or_else(|| panic!("no {opening}: {row}"));
            let cell = cell.strip_prefix("<bdi>").unwrap_or(cell);
            cell.split_once("</").map_or(cell, |(text, _)| text)
        });
        cells
            .map(|text| {
                ["&lt;<", "&gt;>", "&quot;\"", "&amp;&"].iter().fold(
                    text.to_owned(),
                    |text, pair| {
                        let (entity, character) = pair.split_at(pair.len() - 1);
                        text.replace(entity, character)
                    },
                )
            })
            .collect()
    }
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<String> {
    lines.map(str::to_owned).collect()
}
