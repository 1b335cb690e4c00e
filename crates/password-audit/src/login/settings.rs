//! Step 7: settings that a login would apply.

use super::facts::LoginFacts;
use super::{Refusal, Row, Stage, Step};

pub(super) fn rows(facts: &LoginFacts) -> Vec<Row> {
    if facts.request.replication {
        return vec![Step::Settings.passed("a connection for replication applies none of a role")];
    }
    let mut rows = Vec::new();
    // The server warns about a value that it does not apply, and goes on.
    for setting in &facts.settings {
        let detail = format!(
            "{} is not applied: {}; the server warns and goes on",
            setting.name, setting.reason
        );
        rows.push(Step::Settings.row(Some(false), detail).with_remedy(&*setting.remedy));
    }
    for library in &facts.libraries {
        let (name, setting) = (&library.library, library.setting);
        let (refusal, detail) = if library.is_forbidden {
            let message = format!("access to library \"{name}\" is not allowed");
            (
                Refusal::new("42501", message),
                format!("{setting} allows libraries of one folder only"),
            )
        } else {
            let message = format!("could not access file \"{name}\": No such file or directory");
            (Refusal::new("58P01", message), format!("{setting} names a library that is not there"))
        };
        let row = Step::Settings.refused(Stage::Library, refusal, detail);
        rows.push(row.with_remedy(&*library.remedy));
    }
    if facts.database.as_ref().is_some_and(|database| database.has_login_trigger) {
        let detail = "an event trigger runs at each login and may refuse it";
        rows.push(Step::Settings.unknown(Stage::Library, detail));
    }
    if rows.is_empty() {
        rows.push(Step::Settings.passed("each setting is applied, and each library is there"));
    }
    rows
}
