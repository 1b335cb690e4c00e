//! Processes of a server.

use std::fs;
use std::process::{Command, Stdio};

/// Ends a process for certain. It may have ended by itself.
pub(super) fn kill(pid: u32) {
    let status =
        Command::new("kill").args(["-KILL", &pid.to_string()]).stderr(Stdio::null()).status();
    status.expect("kill");
}

/// The processes that this one has started.
pub(super) fn children(pid: u32) -> Vec<u32> {
    let parent = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(parent).expect("the process's children");
    children.split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

/// Whether the process has ended, even if its parent has not waited for it yet.
pub(super) fn is_gone(pid: u32) -> bool {
    let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The state follows the name, which may hold any character.
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
