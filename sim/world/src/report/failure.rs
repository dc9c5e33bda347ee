//! A failing run: what broke, what led there, how the hosts stood, how to see it again.

use std::fmt::Write;
use std::path::Path;

use super::tally::{Failure, is_whole};
use super::text;
use crate::runner::job::{Done, Failed, Job, Line, Row, Source};

/// Frames of a backtrace that are shown; all are in the kept run.
const FRAMES: usize = 12;

/// Where a failing run was kept.
pub struct Kept {
    /// The folder.
    pub folder: String,
    /// Files in it.
    pub files: Vec<&'static str>,
    /// What making it again showed, if not the same; or why there is no smaller plan.
    pub note: Option<String>,
    /// A smaller plan that fails the same way.
    pub shrunk: Option<Shrunk>,
}

impl Kept {
    /// Nothing yet.
    pub fn in_folder(folder: &Path) -> Kept {
        let folder = folder.display().to_string();
        Kept { folder, files: Vec::new(), note: None, shrunk: None }
    }
}

/// A plan that was shrunk.
pub struct Shrunk {
    /// The file.
    pub file: String,
    /// From what to what, and how it fails under other seeds.
    pub summary: String,
}

impl Shrunk {
    /// The command that runs it.
    pub fn replay(&self) -> String {
        format!("cargo xtask sim --file {}", quoted(&self.file))
    }
}

/// The verdict line.
pub fn headline(job: &Job, done: &Done, failed: &Failed) -> String {
    let label = failed.severity.label();
    if is_whole(done) {
        return format!("FAIL  {}  {label} {}", done.name, failed.promise);
    }
    let name = match &job.source {
        Source::Drawn => "drawn plan",
        Source::Family(family) => &format!("drawn plan of {family}"),
        _ => &done.name,
    };
    let at = failed.at.map_or(String::new(), |at| format!("  t={}", text::at(at)));
    format!("FAIL  {name}  seed {}{at}  {label} {}", text::seed(job.seed), failed.promise)
}

/// The whole block, several lines; `lines` of the story at most, in so many columns.
pub fn block(
    (job, done, failed): &Failure,
    kept: Option<&Kept>,
    commit: &str,
    lines: usize,
    width: Option<usize>,
) -> String {
    let mut out = headline(job, done, failed) + "\n";
    for line in failed.what.lines() {
        let _ = writeln!(out, "  {line}");
    }
    if is_whole(done) {
        return out;
    }
    story(&mut out, done, failed, lines);
    if let Some(backtrace) = &failed.backtrace {
        out.push_str(&frames(backtrace));
    }
    if !failed.hosts.is_empty() {
        let head = ["host", "resource", "role", "disk", "quorum", "peers", "out of sync"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(failed.hosts.iter().map(|row| row.to_vec()));
        let table = text::table(&rows);
        let wide = table.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let fits = width.is_none_or(|width| wide <= width);
        let _ = write!(out, "\n{}", if fits { table } else { stacked(&failed.hosts) });
    }
    let _ = writeln!(out, "\n  replay   {}      (at {commit})", replay(job, done));
    if !done.varied.is_empty() {
        let _ = writeln!(out, "  drawn    {}", settings(&done.varied));
    }
    if let Some(shrunk) = kept.and_then(|kept| kept.shrunk.as_ref()) {
        let (what, how) = shrunk.summary.split_once("; ").unwrap_or((&shrunk.summary, ""));
        let _ = writeln!(out, "  shrunk   {what}: {}", shrunk.replay());
        let _ = writeln!(out, "           {how}");
    }
    if let Some(kept) = kept {
        out.push_str(&places(kept));
    }
    out
}

/// Where to look, and what is not there.
pub fn places(kept: &Kept) -> String {
    let mut out = String::new();
    if !kept.files.is_empty() {
        let _ = writeln!(out, "  see      {}/{}", kept.folder, kept.files.join(" · "));
    }
    if let Some(note) = &kept.note {
        let _ = writeln!(out, "  note     {note}");
    }
    out
}

/// The host table where there are few columns: two lines each.
fn stacked(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let [host, resource, role, disk, quorum, peers, bits] = row;
        format!(
            "  {host}  {resource}  {role} · {disk} · quorum {quorum}\n    \
             peers {peers}  out of sync {bits}\n"
        )
    };
    rows.iter().map(line).collect()
}

/// The deciding line and the last ones before the end.
fn story(out: &mut String, done: &Done, failed: &Failed, lines: usize) {
    if failed.story.is_empty() {
        return;
    }
    let wide = |part: fn(&Line) -> &str| {
        failed.story.iter().map(|line| part(line).chars().count()).max().unwrap_or(0)
    };
    let (who, part) = (wide(|line| &line.who), wide(|line| &line.part));
    let tail = failed.story.len().saturating_sub(lines);
    let early = failed.decision.filter(|decision| *decision < tail);
    let mut shown = 0;
    out.push('\n');
    for (i, line) in failed.story.iter().enumerate() {
        if i < tail && early != Some(i) {
            continue;
        }
        shown += 1;
        let mark = if failed.decision == Some(i) { "      ◀ the decision" } else { "" };
        let at = text::at(line.at);
        let (who_is, part_is, said) = (&line.who, &line.part, &line.text);
        let _ = writeln!(out, "  t={at:>9}  {who_is:<who$}  {part_is:<part$}  {said}{mark}");
        if early == Some(i) {
            let _ = writeln!(out, "  …");
        }
    }
    let events = text::count(u128::from(done.events));
    let _ = writeln!(out, "  ({shown} of {events} events)");
}

/// Frames of our own code with their places; the rest of a backtrace is the runtime's. If none is
/// ours, its beginning.
fn frames(backtrace: &str) -> String {
    let foreign = ["/rustc/", "/.cargo/", "/nptl/", "/sysdeps/", "runner/worker.rs"];
    let lines: Vec<&str> = backtrace.lines().collect();
    let ours = |place: &str| place.starts_with("at ") && !foreign.iter().any(|f| place.contains(f));
    let pairs = lines.windows(2).map(|pair| (pair[0].trim(), pair[1].trim()));
    let mut shown: Vec<String> = pairs
        .filter(|(_, place)| ours(place))
        .map(|(what, place)| format!("    {what}  {place}\n"))
        .collect();
    let mut head = "\n  backtrace, the frames of this repository:\n";
    if shown.is_empty() {
        head = "\n  backtrace:\n";
        shown = lines.iter().map(|line| format!("    {line}\n")).collect();
    }
    shown.truncate(FRAMES);
    head.to_owned() + &shown.concat()
}

/// The command that makes this run again, complete.
pub fn replay(job: &Job, done: &Done) -> String {
    let mut words = vec!["cargo xtask sim".to_owned()];
    match &job.source {
        Source::Drawn => {}
        Source::Family(family) => words.push(format!("--family {family}")),
        Source::Builtin(_) => words.push(done.name.clone()),
        Source::File { path, .. } => words.push(format!("--file {}", quoted(path))),
    }
    words.push(format!("--seed {}", text::seed(job.seed)));
    match &job.quirk {
        Some(quirk) => words.push(format!("--quirk {quirk}")),
        None if names_quirk(&job.source) => words.push("--quirk none".to_owned()),
        None => {}
    }
    let set = job.settings.iter().chain(&done.varied);
    words.extend(set.map(|(path, value)| format!("--set {}", quoted(&format!("{path}={value}")))));
    if let Some(drill) = job.drill {
        words.push(format!("--drill {}", format!("{drill:?}").to_lowercase()));
    }
    words.join(" ")
}

/// Does the file itself put a bug back?
fn names_quirk(source: &Source) -> bool {
    let Source::File { path, text } = source else { return false };
    let replay = scenarios::read(path, text).ok().and_then(|scenario| scenario.replay);
    replay.is_some_and(|replay| replay.quirk.is_some())
}

/// `leave.at=31s vm-a.io.depth=4`
fn settings(all: &[(String, String)]) -> String {
    let all: Vec<_> = all.iter().map(|(path, value)| format!("{path}={value}")).collect();
    all.join(" ")
}

/// As a shell wants it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=".contains(c);
    if path.chars().all(plain) {
        path.to_owned()
    } else {
        format!("'{}'", path.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::job::Severity;

    fn job(source: Source) -> Job {
        Job { quirk: Some("no-bump".to_owned()), ..Job::new(source, 42) }
    }

    #[test]
    fn a_failure_says_what_when_and_how_to_see_it_again() {
        let line = |at, text: &str| Line {
            at,
            who: "alpha".to_owned(),
            part: "drbd".to_owned(),
            text: text.to_owned(),
        };
        let mut failed = Failed::bare(Severity::Safety, "one-primary", "two Primaries".to_owned());
        failed.at = Some(143_882_000_000);
        failed.story =
            vec![line(20_004_000_000, "quorum yes → no"), line(61_000_000_000, "Primary")];
        failed.decision = Some(1);
        failed.hosts = vec!["alpha vol-a Primary UpToDate yes bravo:Est 0"]
            .into_iter()
            .map(|row| row.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().expect("7"))
            .collect();
        let done = Done { name: "flapping-link".to_owned(), events: 21_904, ..Done::default() };
        let mut kept = Kept::in_folder(Path::new("runs/x"));
        kept.files.push("events.log");
        let summary = "21 904 → 212 events, 41 → 7 steps; fails under 12 of 16 other seeds";
        kept.shrunk =
            Some(Shrunk { file: "runs/x/shrunk.toml".to_owned(), summary: summary.to_owned() });
        let job = job(Source::Builtin("scenarios/network/flapping-link.toml".to_owned()));
        let expected = "\
FAIL  flapping-link  seed 42  t=143.882s  SAFETY one-primary
  two Primaries

  t=  20.004s  alpha  drbd  quorum yes → no
  t=  61.000s  alpha  drbd  Primary      ◀ the decision
  (2 of 21 904 events)

  host   resource  role     disk      quorum  peers      out of sync
  alpha  vol-a     Primary  UpToDate  yes     bravo:Est  0

  replay   cargo xtask sim flapping-link --seed 42 --quirk no-bump      (at 4f2c1d9)
  shrunk   21 904 → 212 events, 41 → 7 steps: cargo xtask sim --file runs/x/shrunk.toml
           fails under 12 of 16 other seeds
  see      runs/x/events.log
";
        let failure = (job, done, failed);
        assert_eq!(block(&failure, Some(&kept), "4f2c1d9", 16, None), expected);
        let narrow = block(&failure, Some(&kept), "4f2c1d9", 16, Some(40));
        let stacked = "  alpha  vol-a  Primary · UpToDate · quorum yes\n    \
                       peers bravo:Est  out of sync 0\n";
        assert!(narrow.contains(stacked), "{narrow}");
        let short = block(&failure, None, "4f2c1d9", 0, None);
        assert!(short.contains("◀ the decision\n  …\n  (1 of 21 904 events)"), "{short}");
    }

    #[test]
    fn frames_of_this_repository_are_chosen_if_there_are_any() {
        let foreign = "   0: std::alloc\n             at /rustc/abc/alloc.rs:1:2\n";
        let ours = "   1: drbd::step\n             at nodes/drbd/src/core/mod.rs:3:4\n";
        let expected = "\n  backtrace, the frames of this repository:\n    \
            1: drbd::step  at nodes/drbd/src/core/mod.rs:3:4\n";
        assert_eq!(frames(&format!("{foreign}{ours}")), expected);
        assert!(frames(foreign).starts_with("\n  backtrace:\n       0: std::alloc\n"));
    }

    #[test]
    fn a_path_is_quoted_for_the_shell() {
        let done = Done::default();
        let file = |path: &str| Source::File { path: path.to_owned(), text: String::new() };
        let line = replay(&job(file("it's here.toml")), &done);
        assert_eq!(line, "cargo xtask sim --file 'it'\\''s here.toml' --seed 42 --quirk no-bump");
    }

    #[test]
    fn what_was_set_and_drawn_is_set_again() {
        let mut job = job(Source::Builtin("scenarios/network/flapping-link.toml".to_owned()));
        job.settings = vec![("vm-a.io.depth".to_owned(), "8".to_owned())];
        let drawn = ("leave.order".to_owned(), "[\"network\", \"drbd\"]".to_owned());
        let name = "flapping-link".to_owned();
        let done = Done { name, varied: vec![drawn], ..Done::default() };
        let line = "cargo xtask sim flapping-link --seed 42 --quirk no-bump \
                    --set vm-a.io.depth=8 --set 'leave.order=[\"network\", \"drbd\"]'";
        assert_eq!(replay(&job, &done), line);
    }
}
