//! Stories of commands and what they say: `tests/data/*.txt`, orders behind `>`, answers below.
//! `UPDATE_GOLDEN=1 cargo test -p kernel --test stories` writes the answers anew.

#![allow(clippy::disallowed_methods)] // tests read their golden files

mod pool;

/// Goal: what an administrator sees is what the real tools would show.
fn check(name: &str) {
    let path = format!("{}/tests/data/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let story = std::fs::read_to_string(&path).unwrap();
    let told = pool::retold(&story);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &told).unwrap();
        return;
    }
    assert!(told == story, "{name} is told differently:\n{told}");
}

#[test]
fn status_as_text_and_json() {
    check("status");
}

#[test]
fn events_of_connect_resync_promote_and_quorum_loss() {
    check("events2");
}

#[test]
fn exit_codes_and_refusals() {
    check("refusals");
}

#[test]
fn down_and_up_and_adjust() {
    check("down-up");
}

#[test]
fn metadata_and_generations() {
    check("metadata");
}

#[test]
fn what_administrators_overrule() {
    check("overrule");
}

#[test]
fn waiting_commands() {
    check("wait");
}

#[test]
fn lvm_beside_drbd() {
    check("lvm");
}

#[test]
fn generations_on_demand() {
    check("new-current-uuid");
}
