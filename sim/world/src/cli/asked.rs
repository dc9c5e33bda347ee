//! Which runs the command line asks for.

use scenarios::{Replay, Scenario};
use std::time::Duration;

use super::Cli;
use crate::runner::engine;
use crate::runner::job::Source;

/// Which seeds each source runs with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seeds {
    /// From the first to the second, both included.
    Range(u64, u64),
    /// From here on until time is up.
    From(u64),
}

impl Seeds {
    /// Is this one of them?
    pub fn holds(self, seed: u64) -> bool {
        match self {
            Seeds::Range(first, last) => (first..=last).contains(&seed),
            Seeds::From(first) => seed >= first,
        }
    }
}

/// The runs that were asked for: each batch runs all its sources with its first seed, then the
/// next.
#[derive(Default, Debug)]
pub struct Asked {
    /// In this order.
    pub batches: Vec<(Vec<Source>, Seeds)>,
    /// Until then.
    pub time: Option<Duration>,
    /// Bug put back.
    pub quirk: Option<String>,
    /// Values set by hand: path and value.
    pub settings: Vec<(String, String)>,
    /// What the file says that it replays.
    pub replay: Option<Replay>,
    /// Scenarios that this simulator cannot run, and why.
    pub skips: Vec<(String, String)>,
}

/// Drawn plans of an invocation without arguments.
pub(super) const DRAWN: u64 = 50;
/// How long a quirk is looked for, if nothing else says how long.
pub(super) const QUIRK_TIME: Duration = Duration::from_secs(120);
/// `--quirk none`: also if the file names one.
const NONE: &str = "none";

impl Cli {
    /// Which runs, from names, file and seeds. The error is for the user.
    pub fn asked(&self) -> Result<Asked, String> {
        let mut asked = Asked { time: self.time, ..Asked::default() };
        asked.settings = self.set.iter().map(|set| (set.path.clone(), set.value.clone())).collect();
        asked.quirk = self.quirk.clone().filter(|quirk| quirk != NONE);
        let sources = self.sources(&mut asked)?;
        let drawn = match &self.family {
            Some(family) => Source::Family(family.clone()),
            None => Source::Drawn,
        };
        let bare = self.seed.is_none() && self.seeds.is_none() && self.time.is_none();
        if let (Some(sources), true) = (&sources, bare) {
            let seed = asked.replay.as_ref().map_or(0, |replay| replay.seed);
            asked.batches = vec![(sources.clone(), Seeds::Range(seed, seed))];
        } else if bare && asked.quirk.is_none() && self.family.is_some() {
            asked.batches = vec![(vec![drawn], Seeds::Range(0, DRAWN - 1))];
        } else if bare && asked.quirk.is_none() {
            let all = scenarios::BUILTIN.iter().map(|file| Source::Builtin(file.path.to_owned()));
            let mut found = Vec::new();
            all.into_iter().try_for_each(|it| self.take(it, &mut asked, &mut found))?;
            let drawn = (vec![drawn], Seeds::Range(0, DRAWN - 1));
            asked.batches = vec![(found, Seeds::Range(0, 0)), drawn];
        } else {
            let first = self.seed.unwrap_or(0);
            asked.time = self.time.or(bare.then_some(QUIRK_TIME));
            let seeds = match (self.seeds, asked.time) {
                (Some((from, to)), _) => Seeds::Range(from, to - 1),
                (None, Some(_)) => Seeds::From(first),
                (None, None) => Seeds::Range(first, first),
            };
            if sources.is_none() && !asked.settings.is_empty() {
                return Err("--set sets values of a file, and drawn plans have none\n  \
                            remedy: name a scenario or a --file"
                    .to_owned());
            }
            asked.batches = vec![(sources.unwrap_or(vec![drawn]), seeds)];
        }
        Ok(asked)
    }

    /// Scenarios by name or file; `None` if none is named.
    fn sources(&self, asked: &mut Asked) -> Result<Option<Vec<Source>>, String> {
        let mut found = Vec::new();
        if let Some(path) = &self.file {
            let text = read_file(path)?;
            let path = path.display().to_string();
            self.take(Source::File { path, text }, asked, &mut found)?;
            return Ok(Some(found));
        }
        if self.names.is_empty() {
            return Ok(None);
        }
        let mut named: Vec<&str> = Vec::new();
        for pattern in &self.names {
            let mut matching = scenarios::BUILTIN.iter().filter(|file| file.matches(pattern));
            let first = matching.next().ok_or_else(|| no_scenario(pattern))?;
            for file in std::iter::once(first).chain(matching) {
                if !named.contains(&file.path) {
                    named.push(file.path);
                    self.take(Source::Builtin(file.path.to_owned()), asked, &mut found)?;
                }
            }
        }
        Ok(Some(found))
    }

    /// Reads a scenario with what was set by hand; it is run, or skipped.
    fn take(
        &self,
        source: Source,
        asked: &mut Asked,
        found: &mut Vec<Source>,
    ) -> Result<(), String> {
        let Some((path, text)) = source.file()? else { return Ok(()) };
        let scenario = scenarios::read_with(path, text, &self.set).map_err(|it| it.to_string())?;
        names_exist(path, text, &scenario)?;
        if let Some(why) = lacks(&scenario) {
            asked.skips.push((scenario.name, why));
            return Ok(());
        }
        if let Some(replay) = scenario.replay {
            if self.quirk.is_none() {
                asked.quirk.clone_from(&replay.quirk);
            }
            asked.replay = Some(replay);
        }
        found.push(source);
        Ok(())
    }
}

/// What this simulator lacks, if the scenario needs it.
fn lacks(scenario: &Scenario) -> Option<String> {
    if !scenario.worlds.iter().any(|world| world == "sim") {
        return Some(format!("it is meant for {}", scenario.worlds.join(", ")));
    }
    let lacks = |part: &&String| !engine::PARTS.contains(&part.as_str());
    let parts: Vec<_> = scenario.requires.iter().filter(lacks).cloned().collect();
    let what = parts.join(", ");
    (!parts.is_empty()).then(|| format!("it requires {what}, which the simulator does not have"))
}

/// A promise that no checker knows would never be checked; a quirk that is unknown puts nothing
/// back.
fn names_exist(file: &str, text: &str, scenario: &Scenario) -> Result<(), String> {
    let promises = engine::promises();
    let is = |name: &String| promises.contains(&name.as_str());
    let wrong = |path: String, what: String, remedy: String| {
        Err(scenarios::Error::of_path(file, text, &path, &what, &remedy).to_string())
    };
    let promise = |path: String, name: &String, more: &[&str]| {
        if is(name) || more.contains(&name.as_str()) {
            return Ok(());
        }
        let remedy = format!("use some of {}", [&promises, more].concat().join(", "));
        wrong(path, format!("nobody checks the promise \"{name}\""), remedy)
    };
    let quirk = |path: String, name: &String| match engine::is_quirk(name) {
        true => Ok(()),
        false => {
            let near = scenarios::nearest(name, engine::quirks());
            let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
            let remedy = format!("{near}`cargo xtask sim --quirk list` shows all");
            wrong(path, format!("no quirk is called \"{name}\""), remedy)
        }
    };
    for (place, name) in scenario.promise.iter().enumerate() {
        promise(format!("promise[{place}]"), name, &[])?;
    }
    if let Some(known) = scenario.known.get("sim") {
        promise("known.sim.breaks".to_owned(), &known.breaks, &OTHER)?;
        known.quirk.iter().try_for_each(|name| quirk("known.sim.quirk".to_owned(), name))?;
    }
    if let Some(replay) = &scenario.replay {
        promise("replay.breaks".to_owned(), &replay.breaks, &OTHER)?;
        replay.quirk.iter().try_for_each(|name| quirk("replay.quirk".to_owned(), name))?;
    }
    Ok(())
}

/// What a run may break that is no promise.
const OTHER: [&str; 3] = ["panic", "limit", "expectation"];

/// A scenario file is small: a larger one is refused before it is read.
fn read_file(path: &std::path::Path) -> Result<String, String> {
    let remedy =
        "name a readable scenario file; `cargo xtask sim --list` shows those that are built in";
    let wrong = |what: String| format!("{}: {what}\n  remedy: {remedy}", path.display());
    let size = std::fs::metadata(path).map_err(|error| wrong(error.to_string()))?;
    if !size.is_file() {
        return Err(wrong("not a file".to_owned()));
    }
    if size.len() > scenarios::FILE_MAX as u64 {
        return Err(wrong(format!("larger than {} bytes", scenarios::FILE_MAX)));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    String::from_utf8(bytes).map_err(|error| {
        wrong(format!("not text: byte {} is no UTF-8", error.utf8_error().valid_up_to()))
    })
}

fn no_scenario(pattern: &str) -> String {
    let names = scenarios::BUILTIN.iter().map(scenarios::Builtin::name);
    let remedy = match scenarios::nearest(pattern, names) {
        Some(near) => format!("did you mean {near}?"),
        None => "`cargo xtask sim --list` shows all; a glob needs quotes: 'primary-*'".to_owned(),
    };
    let pattern: String = pattern.chars().take(80).collect();
    format!("no scenario is called {pattern}\n  remedy: {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    fn asked(args: &[&str]) -> Result<Asked, String> {
        let args = [&["sim"], args].concat();
        Cli::try_parse_from(args).expect("good flags").asked()
    }

    #[test]
    fn scenarios_name_promises_and_quirks_that_exist() {
        for file in scenarios::BUILTIN {
            let scenario = scenarios::read(file.path, file.text).expect("a good file");
            assert_eq!(names_exist(file.path, file.text, &scenario), Ok(()));
        }
    }

    #[test]
    fn flags_say_which_runs() {
        let bare = asked(&[]).expect("runs");
        assert_eq!(bare.batches[0].0.len(), scenarios::BUILTIN.len());
        assert_eq!(bare.batches[1], (vec![Source::Drawn], Seeds::Range(0, 49)));
        let quorum = || vec![Source::Family("quorum".to_owned())];
        let family = asked(&["--family", "quorum"]).expect("runs");
        assert_eq!(family.batches, [(quorum(), Seeds::Range(0, 49))]);
        let one = asked(&["--family", "quorum", "--seed", "3"]).expect("runs");
        assert_eq!(one.batches, [(quorum(), Seeds::Range(3, 3))]);
        let one = asked(&["--seed", "0x10"]).expect("runs");
        assert_eq!(one.batches, [(vec![Source::Drawn], Seeds::Range(16, 16))]);
        let last = asked(&["--seed", "18446744073709551615"]).expect("runs");
        assert_eq!(last.batches, [(vec![Source::Drawn], Seeds::Range(u64::MAX, u64::MAX))]);
        let named = asked(&["primary-*"]).expect("runs");
        assert_eq!((named.batches[0].0.len(), named.batches[0].1), (2, Seeds::Range(0, 0)));
        let fuzz = asked(&["--for", "10m", "--seed", "7"]).expect("runs");
        assert_eq!(fuzz.batches, [(vec![Source::Drawn], Seeds::From(7))]);
        let quirk = asked(&["--quirk", "any"]).expect("runs");
        assert_eq!((quirk.batches[0].1, quirk.time), (Seeds::From(0), Some(QUIRK_TIME)));
        assert!(asked(&["flaping-link"]).unwrap_err().contains("did you mean flapping-link?"));
    }
}
