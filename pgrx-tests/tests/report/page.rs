//! The report as a page in a browser.

use scram_ext_client_tests::{Cluster, Page, cell};

use super::{HOSTILE, hostile_roles, number, report};

#[test]
fn the_page_holds_in_a_browser() {
    let cluster = Cluster::with_extension();
    let mut client = cluster.client();
    hostile_roles(&mut client);
    let run = cell(&mut client, "CALL scram.run_audit()").expect("a run");
    let html = report(&mut client, "html", &run);
    assert!(html.is_ascii(), "right in every encoding");
    let open =
        number(&mut client, "SELECT count(*) FROM scram.audit_finding WHERE status = 'open'");

    let page = Page::open(&html, "");
    assert_eq!(page.console, [""; 0], "scripts and policies");
    assert_eq!(page.requests, [""; 0], "no request leaves the page");
    let subjects = page.column("all", "<th scope=\"row\">");
    assert_eq!(i64::try_from(subjects.len()).expect("a number"), open);
    for (_, shown) in HOSTILE {
        assert!(subjects.iter().any(|subject| subject == shown), "{shown}: {subjects:#?}");
    }
    assert!(page.dom.contains("data-sorted=\"severity:ascending\""), "the script ran");
    // The page has one script of its own, and no name adds another one.
    assert_eq!(page.dom.matches("<script").count(), 1);
    for element in ["<img", "<iframe", "<a ", "<form", "<object", "<base", " onerror=\""] {
        assert!(!page.dom.contains(element), "{element}");
    }
    assert!(page.dom.contains("<title>Password audit of postgres, run 1</title>"));

    // Worst first, without a click; then as the address says.
    let severities = page.column("all", "</span>");
    assert!(severities.is_sorted_by_key(|name| {
        ["critical", "warning", "notice"].iter().position(|one| one == name)
    }));
    let sorted = Page::open(&html, "sort=subject:descending&severity=critical&text=MD5");
    assert_eq!(sorted.console, [""; 0]);
    assert!(sorted.dom.contains("data-sorted=\"subject:descending\""));
    assert!(sorted.dom.contains("aria-sort=\"descending\""));
    let md5 = format!("data-shown=\"{}\"", HOSTILE.len());
    assert!(sorted.dom.contains(&md5), "not {md5}");
    let mut reversed = sorted.column("all", "<th scope=\"row\">");
    assert_ne!(reversed, subjects);
    assert_eq!(reversed.len(), subjects.len());
    reversed.dedup();
    // Equal names are adjacent; the order of the others depends on the browser.
    let mut distinct = subjects.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(reversed.len(), distinct.len());
}

/// The test above can fail: the same page with its policy taken out and a picture put in.
#[test]
fn a_request_of_a_page_is_seen() {
    let page =
        Page::open("<!DOCTYPE html><img src=\"http://127.0.0.1:9/x\"><script>none()</script>", "");
    assert_eq!(page.requests.len(), 1, "{:?}", page.requests);
    assert_eq!(page.console.len(), 1, "{:?}", page.console);
}
