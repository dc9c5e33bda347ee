//! LVM's commands against what the real ones printed: text in, text out.
//!
//! A transcript is a list of commands, each with what it prints. Besides LVM's, `write VG/LV FROM
//! LEN` and `discard VG/LV` change which chunks of a thin volume are there. With `UPDATE_GOLDEN=1`
//! the transcripts are written anew; they are real ones, so look at what changes.
#![allow(clippy::disallowed_methods, reason = "a test that reads its texts")]

mod real;

use kernel::lvm::run;
use models::lvm::{Kind, Lvm, Mode};
use std::path::{Path, PathBuf};

fn host() -> Lvm {
    let mut lvm = Lvm::new();
    lvm.add_device("/dev/vda", 0, 262_144);
    lvm.add_device("/dev/vdb", 262_144, 65_536);
    lvm
}

/// Splits as a shell does, with single and double quotes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match quote {
            Some(q) if c == q => quote = None,
            Some(_) => word.push(c),
            None if c == '\'' || c == '"' => (quote, open) = (Some(c), true),
            None if c == ' ' => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                open = false;
            }
            None => word.push(c),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

fn bytes(text: &str) -> u64 {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[number.len()..] {
        "k" => 10,
        "m" => 20,
        _ => 0,
    };
    number.parse::<u64>().expect("a number") << scale
}

/// Maps or unmaps chunks, as writes and discards of whole chunks do.
fn chunks(lvm: &mut Lvm, words: &[String]) {
    let (vg, lv) = words[1].split_once('/').expect("VG/LV");
    // Where an earlier command went another way, the texts differ there already.
    let Some(group) = lvm.group_mut(vg) else { return };
    let Some(volume) = group.find(lv).cloned() else { return };
    let Kind::Thin(thin) = volume.kind else { panic!("{lv} is not thin") };
    let end = volume.extents * group.extent;
    let pool = group.pool_mut(thin.pool).expect("the pool");
    let (from, len) = match words {
        [_, _, from, len] => (bytes(from), bytes(len)),
        _ => (0, end),
    };
    for at in from / pool.chunk..(from + len).min(end).div_ceil(pool.chunk) {
        if words[0] == "discard" {
            pool.space.unmap(thin.device, at);
        } else if pool.space.lookup(thin.device, at).is_none() {
            match pool.space.allocate() {
                Ok(chunk) => pool.space.map(thin.device, at, chunk),
                Err(_) => pool.mode = Mode::OutOfDataSpace,
            }
        }
    }
    pool.space.commit(pool.space.mark());
    if pool.space.used() < pool.space.chunks() {
        pool.mode = Mode::Write;
    }
}

fn answer(lvm: &mut Lvm, line: &str) -> String {
    let words = words(line);
    if matches!(words[0].as_str(), "write" | "discard") {
        chunks(lvm, &words);
        return "= 0\n".to_owned();
    }
    let output = run(lvm, &words);
    let mut text = String::new();
    let marked =
        |line: &str| if line.ends_with(' ') { format!("{line}¬\n") } else { format!("{line}\n") };
    // A blank line at the end cannot be told from the space between commands.
    let out = output.stdout.trim_end_matches('\n');
    out.lines().for_each(|line| text.push_str(&marked(line)));
    output.stderr.lines().for_each(|line| text.push_str(&marked(&format!("! {line}"))));
    if !output.stdout.ends_with("\n\n") || !output.stderr.is_empty() {
        return format!("{}= {}\n", with_blank(&output.stdout, out, text), output.code);
    }
    format!("{text}= {}\n", output.code)
}

/// Puts back the blank line between usage and complaint.
fn with_blank(stdout: &str, trimmed: &str, text: String) -> String {
    if stdout.ends_with("\n\n") {
        let at = trimmed.len() + 1;
        return format!("{}\n{}", &text[..at], &text[at..]);
    }
    text
}

fn golden() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lvm");
    let entries = std::fs::read_dir(dir).expect("the folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.retain(|file| file.extension().is_some_and(|ext| ext == "txt"));
    files.sort();
    files
}

#[test]
fn commands_print_what_the_real_ones_do() {
    let mut wrong = Vec::new();
    let files = golden();
    assert!(files.len() >= 6, "where are the transcripts?");
    for file in files {
        let expected = std::fs::read_to_string(&file).expect("a transcript");
        let mut lvm = host();
        let head = expected.lines().take_while(|line| line.starts_with('#'));
        let mut text: String = head.map(|line| format!("{line}\n")).collect();
        for line in expected.lines().filter_map(|line| line.strip_prefix("$ ")) {
            text.push_str(&format!("\n$ {line}\n{}", answer(&mut lvm, line)));
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).expect("written");
        } else if text != expected {
            let first = text.lines().zip(expected.lines()).position(|(a, b)| a != b);
            let at = first.unwrap_or(0);
            let (ours, real) = (text.lines().nth(at), expected.lines().nth(at));
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            wrong.push(format!("{name}:{}\n  ours {ours:?}\n  real {real:?}", at + 1));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
