//! A failing test says how to repeat it alone.

use std::env;
use std::process::Command;

use scram_ext_client_tests::repeat::print_command_on_panic;

#[test]
fn a_failing_test_prints_its_command() {
    let program = env::current_exe().expect("this program");
    let run = Command::new(program).args(["--ignored", "--exact", "fails"]).output();
    let run = run.expect("the failing test");
    assert!(!run.status.success());
    let printed = String::from_utf8_lossy(&run.stdout);
    let command = "To repeat this test alone: make clienttest TEST=repeat NAME=fails\n";
    assert!(printed.contains(command), "{printed}");
}

#[test]
#[ignore = "fails, because the test above needs one that does"]
fn fails() {
    print_command_on_panic();
    panic!("on purpose");
}
