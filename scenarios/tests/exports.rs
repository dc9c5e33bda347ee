//! The files that editors and readers get say what the reader takes.
#![allow(clippy::disallowed_methods, reason = "a test that reads and writes files")]

use scenarios::{json_schema, reference};
use std::path::Path;

/// Write them anew with `UPDATE_GOLDEN=1 cargo test -p scenarios --test exports`.
#[test]
fn the_exported_files_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, text) in [("schema.json", json_schema()), ("REFERENCE.md", reference())] {
        let path = root.join(name);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &text).expect("the file is writable");
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{name} is stale: UPDATE_GOLDEN=1 cargo test -p scenarios");
    }
}
