//! The list of what the specification demands names tests that exist.

use kiste_tests::tasks::names_of_tests;

/// A line of the list.
struct Must<'a> {
    document: &'a str,
    demand: &'a str,
    /// The tests, or the reason why there is none.
    held_by: Result<Vec<&'a str>, &'a str>,
}

const LIST: &str = include_str!("musts.md");

fn musts() -> Vec<Must<'static>> {
    let rows = LIST.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [document, _section, demand, last] = cells[..] else {
            panic!("a line has four columns: {line}");
        };
        let tests = || last.split('`').skip(1).step_by(2).collect();
        let held_by =
            last.strip_prefix("not covered: ").map_or_else(|| Ok(tests()), Err);
        Must { document, demand, held_by }
    })
    .collect()
}

#[test]
fn every_demand_of_the_specification_is_held_by_a_test_that_exists_or_says_why_not() {
    let existing = names_of_tests();
    let musts = musts();
    let mut not_covered = Vec::new();
    for must in &musts {
        match &must.held_by {
            Ok(tests) => {
                assert!(!tests.is_empty(), "{}: no test and no reason", must.demand);
                for test in tests {
                    let name = format!("conformance::{test}");
                    assert!(
                        existing.contains(&name),
                        "{}: there is no test {name}",
                        must.demand
                    );
                }
            }
            Err(reason) => not_covered
                .push(format!("  {}: {} ({reason})", must.document, must.demand)),
        }
    }
    assert!(musts.len() > 100, "the list was read: {}", musts.len());
    println!(
        "{} demands, {} covered, {} not covered:\n{}",
        musts.len(),
        musts.len() - not_covered.len(),
        not_covered.len(),
        not_covered.join("\n")
    );
}
