//! The table of attacks names tests that exist.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::{Path, PathBuf};

#[test]
fn every_test_in_the_table_of_attacks_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let document = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    // Of each row of a table that ends in names of tests, all that stand in the last column.
    let last = document
        .lines()
        .filter_map(|line| line.trim_end().strip_suffix("` |")?.rsplit(" | ").next());
    let named: Vec<&str> = last
        .flat_map(|column| column.split(['`', ',', ' ']))
        .filter(|name| name.contains(['_', '-']) && !name.ends_with('*'))
        .collect();
    assert!(named.len() >= 10, "{named:?}");
    let mut code = String::new();
    for folder in ["approver", "csr", "node-agent", "tests"] {
        read_all(&root.join(folder), &mut code);
    }
    let missing: Vec<&&str> = named
        .iter()
        .filter(|name| {
            let case = root.join("tests/cases/explain").join(name);
            !code.contains(&format!("fn {name}(")) && !case.is_dir()
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

fn read_all(folder: &PathBuf, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            read_all(&path, code);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
