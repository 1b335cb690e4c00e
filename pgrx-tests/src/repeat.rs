//! The command that repeats a failed test alone.

use std::path::Path;
use std::sync::Once;
use std::{env, panic, thread};

/// Makes every failing test of this program print the command that repeats it, below its panic.
pub fn print_command_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            default(info);
            let program = env::current_exe().ok();
            // The test runner names a test's thread after the test. Threads that a test starts have no
            // name; the test itself then fails when it joins them.
            let thread = thread::current();
            if let (Some(program), Some(test)) = (program, thread.name())
                && let Some(command) = command(&program, test)
            {
                eprintln!("To repeat this test alone: {command}");
            }
        }));
    });
}

/// `program`: the file of the tests, as cargo names it: `audit-0123456789abcdef`. `None` for another
/// name.
fn command(program: &Path, test: &str) -> Option<String> {
    let (file, _) = program.file_name()?.to_str()?.rsplit_once('-')?;
    // With one thread alone the runner runs the tests on its own.
    let name = if test == "main" { String::new() } else { format!(" NAME={test}") };
    Some(format!("make clienttest TEST={file}{name}"))
}
