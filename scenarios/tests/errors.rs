//! What a wrong file says: place, fact, remedy.

#![allow(clippy::disallowed_methods, reason = "a test that reads and writes a golden file")]

use scenarios::read;

const GOOD: &str = r#"
schema = 1
name = "good"
horizon = "1m"
[pool]
hosts = ["alpha", "bravo", "charlie"]
[[resource]]
name = "vol-a"
size = "64MiB"
diskful = ["alpha", "bravo"]
tiebreaker = "charlie"
options = { quorum = "majority" }
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
io = { write = 1, block = "4KiB..8KiB" }
[[step]]
at = "20s"
do = { power-off = "alpha" }
"#;

/// What errors.txt adds its mistakes to.
const STORY: &str = r#"
schema = 1
name = "story"
horizon = "1m"
[pool]
hosts = ["alpha", "bravo", "charlie", "delta"]
[[resource]]
name = "vol-a"
size = "64MiB"
diskful = ["alpha", "bravo"]
tiebreaker = "charlie"
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
[[step]]
id = "dies"
at = "20s"
do = { power-off = "alpha" }
"#;

/// The error after `from` was replaced by `to`.
fn check(from: &str, to: &str, place: &str, parts: &[&str]) {
    assert!(GOOD.contains(from), "{from} is not in the file");
    let error = read("f.toml", &GOOD.replacen(from, to, 1)).expect_err("the file is wrong");
    let text = error.to_string();
    assert!(text.starts_with(&format!("f.toml:{place}: ")), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

#[test]
fn the_good_file_is_good() {
    read("f.toml", GOOD).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn unknown_keys_name_the_nearest() {
    check(
        "horizon",
        "horizn = \"1s\"\nhorizon",
        "4:1",
        &["unknown key \"horizn\"", "\"horizon\"?"],
    );
    check("\non = ", "\nbanana = 1\non = ", "15:1", &["unknown key \"banana\"", "use one of"]);
    check("horizon", "horizn", "4:1", &["unknown key \"horizn\"", "\"horizon\"?"]);
    check("power-off", "poweroff", "20:6", &["unknown key \"poweroff\" in do", "\"power-off\"?"]);
    check("quorum =", "qourum =", "12:22", &["unknown DRBD option", "\"quorum\"?"]);
}

#[test]
fn units_are_asked_for() {
    check("\"20s\"", "\"20\"", "19:6", &["the unit is missing", "write it as in 20s"]);
    check("\"20s\"", "20", "19:6", &["expected a duration in quotes, found an integer"]);
    check("64MiB", "64MB", "9:8", &["unknown unit \"MB\""]);
    check("4KiB..8KiB", "8KiB..4KiB", "17:27", &["ends before it starts"]);
}

#[test]
fn names_have_to_exist() {
    check("on = \"alpha\"", "on = \"alfa\"", "15:6", &["no host \"alfa\"", "\"alpha\"?"]);
    check("[\"alpha\", \"bravo\"]\nt", "[\"alpha\", \"zulu\"]\nt", "10:21", &["no host \"zulu\""]);
    check("vdi = \"vol-a\"", "vdi = \"vol-a/3\"", "16:7", &["no such volume"]);
    check("power-off = \"alpha\"", "power-off = \"delta\"", "20:20", &["no host \"delta\""]);
    check(
        "tiebreaker = \"charlie\"",
        "tiebreaker = \"bravo\"",
        "11:14",
        &["a part in the resource already"],
    );
}

#[test]
fn everything_is_bounded() {
    check("64MiB", "63KiB", "9:8", &["multiple of 4KiB"]);
    check("64MiB", "100TiB", "9:8", &["too large", "64GiB"]);
    check("\"1m\"", "\"999999h\"", "4:11", &["not for ever"]);
    check("\"20s\"", "\"60s\"", "19:6", &["over by then"]);
    check("write = 1,", "write = 1, depth = 99999999,", "17:27", &["out of range"]);
    check("write = 1,", "write = 0,", "17:6", &["no usable weights"]);
    let hosts: Vec<_> = (0..33).map(|i| format!("\"host-{i}\"")).collect();
    let hosts = format!("[{}]", hosts.join(", "));
    check("[\"alpha\", \"bravo\", \"charlie\"]", &hosts, "6:9", &["at most 32"]);
    let long = read("f.toml", &"#".repeat(2 << 20)).expect_err("too long");
    assert!(long.what.contains("at most"), "{long}");
}

#[test]
fn the_format_has_a_version() {
    check("schema = 1", "schema = 2", "2:10", &["write `schema = 1`"]);
    check("schema = 1\n", "", "1:1", &["lacks \"schema\""]);
    check("schema = 1", "schema = ", "2:10", &["not TOML"]);
}

/// What is said of a mistake that is added to [`STORY`]; lines are counted from the mistake on.
fn said(mistake: &str) -> String {
    let before = STORY.lines().count();
    let error = match read("f.toml", &format!("{STORY}{mistake}\n")) {
        Ok(_) => return "it is read\n".to_owned(),
        Err(error) => error,
    };
    let line = error.line.checked_sub(before).expect("the story itself is good");
    format!("{line}:{}: {}\n  remedy: {}\n", error.column, error.what, error.remedy)
}

/// Write them anew with `UPDATE_GOLDEN=1 cargo test -p scenarios --test errors`.
#[test]
fn every_mistake_has_its_place_and_remedy() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors.txt");
    let text = std::fs::read_to_string(&path).expect("the cases");
    let mut parts = text.split("=== ");
    let mut wanted = parts.next().unwrap_or_default().to_owned();
    let mut count = 0;
    for part in parts {
        let (name, rest) = part.split_once('\n').expect("a name");
        let (mistake, _) = rest.split_once("\n---\n").expect("a mistake, then what is said");
        wanted += &format!("=== {name}\n{mistake}\n---\n{}\n", said(mistake));
        count += 1;
    }
    assert!(count >= 50 && !wanted.contains("it is read"), "{wanted}");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &wanted).expect("the file is writable");
    } else {
        assert_eq!(text, wanted, "UPDATE_GOLDEN=1 cargo test -p scenarios --test errors");
    }
}
