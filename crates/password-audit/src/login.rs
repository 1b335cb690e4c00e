//! Why a login works or does not: the facts about one login, judged in the server's order.
//!
//! The server checks a login in several places: `src/postmaster/postmaster.c` (the connection),
//! `src/backend/libpq/auth.c` (rule and method), `src/backend/utils/init/miscinit.c` (the role) and `postinit.c` (the
//! database). The messages are theirs.

mod address;
mod database;
mod facts;
mod method;
mod role;
mod rule;
mod settings;

pub use facts::{
    HbaState, Listening, LoginDatabase, LoginFacts, LoginRequest, LoginRole, LoginSecret, MapLine,
    MissingLibrary, Name, SecretForm, Slots, SuspectSetting,
};

/// A row of the explanation.
#[derive(Debug)]
pub struct Row {
    /// The number of the step.
    pub step: i32,
    /// The name of the step.
    pub check: &'static str,
    /// `None` if only a login can tell.
    pub ok: Option<bool>,
    /// The finding.
    pub detail: String,
    /// A command, or a line of a file.
    pub remedy: Option<String>,
    /// Where the server decides about it; `None` for a row that decides about no login.
    decides: Option<Stage>,
    refusal: Option<Refusal>,
}

/// A stage of a login, in the server's order. It is another order than that of the rows: the server authenticates
/// before it asks whether the role exists.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Stage {
    Connection,
    Slot,
    Rule,
    Authentication,
    Role,
    Reserved,
    Database,
    Library,
}

/// The error that the client sees.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Refusal {
    /// `None` for an error of the client's library.
    sqlstate: Option<&'static str>,
    message: String,
}

impl Refusal {
    fn new(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { sqlstate: Some(sqlstate), message: message.into() }
    }

    fn by_client(message: &str) -> Self {
        Self { sqlstate: None, message: message.to_owned() }
    }
}

/// The steps, in the order of the rows.
#[derive(Clone, Copy)]
enum Step {
    Address = 1,
    Rule,
    Method,
    Role,
    Secret,
    Database,
    Settings,
    Login,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Rule => "rule",
            Self::Method => "method",
            Self::Role => "role",
            Self::Secret => "secret",
            Self::Database => "database",
            Self::Settings => "settings",
            Self::Login => "login",
        }
    }

    fn row(self, ok: Option<bool>, detail: impl Into<String>) -> Row {
        Row {
            step: self as i32,
            check: self.name(),
            ok,
            detail: detail.into(),
            remedy: None,
            decides: None,
            refusal: None,
        }
    }

    /// Nothing here keeps the login out.
    fn passed(self, detail: impl Into<String>) -> Row {
        self.row(Some(true), detail)
    }

    /// The server, or the client's library, refuses the login at this stage.
    fn refused(self, stage: Stage, refusal: Refusal, detail: impl Into<String>) -> Row {
        let row = self.row(Some(false), detail);
        Row { decides: Some(stage), refusal: Some(refusal), ..row }
    }

    /// The end of this stage shows in a login only.
    fn unknown(self, stage: Stage, detail: impl Into<String>) -> Row {
        Row { decides: Some(stage), ..self.row(None, detail) }
    }
}

impl Row {
    fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    /// A remedy that is read line by line: a line of a file, or a command of psql that begins with a backslash. It is
    /// left out if it has more lines, because a name with a line break would then become a rule or a statement of its
    /// own. In SQL the quotes of a name go on.
    fn with_line(self, remedy: String) -> Self {
        if remedy.contains(char::is_control) { self } else { self.with_remedy(remedy) }
    }
}

/// Explains a login step by step. The last row is the verdict.
pub fn explain(facts: &LoginFacts) -> Vec<Row> {
    let decided = rule::Decided::new(facts);
    let mut rows = vec![address::row(facts), rule::row(facts, &decided)];
    rows.push(method::row(facts, &decided));
    rows.extend(role::rows(facts, &decided));
    rows.push(method::secret_row(facts, &decided));
    rows.extend(database::rows(facts));
    rows.extend(settings::rows(facts));
    let verdict = verdict(&rows);
    rows.push(verdict);
    rows
}

/// The first stage that refuses the login, or that only a login can pass, decides.
fn verdict(rows: &[Row]) -> Row {
    let mut decisive: Vec<_> = rows.iter().filter(|row| row.decides.is_some()).collect();
    decisive.sort_by_key(|row| row.decides);
    match decisive.first() {
        None => Step::Login.passed("the server accepts the login"),
        Some(Row { refusal: Some(refusal), .. }) => {
            let detail = match refusal.sqlstate {
                Some(sqlstate) => format!(
                    "the server refuses the login with SQLSTATE {sqlstate}: {}",
                    refusal.message
                ),
                None => format!("the client cannot connect: {}", refusal.message),
            };
            Step::Login.row(Some(false), detail)
        }
        Some(first) => {
            let refuses = decisive.iter().find_map(|row| row.refusal.as_ref());
            let later = refuses.map(|refusal| {
                format!("; if it gets past that, the server refuses it: {}", refusal.message)
            });
            let detail = format!(
                "only a login can tell, because of step {} ({}){}",
                first.step,
                first.check,
                later.unwrap_or_default()
            );
            Step::Login.row(None, detail)
        }
    }
}
