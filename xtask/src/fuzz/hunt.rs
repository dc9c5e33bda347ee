//! Who is hunted next, for how long, from which seed on, and what came of it: no simulator in here.
//!
//! Rounds: each gives every quirk that is not caught yet a slice of time, twice as long as the
//! round before, so that those that are easily caught drop out soon and leave their time to the
//! others. No slice is longer than a fair share of the time that is left.

use std::time::Duration;

/// A slice of the first round.
const FIRST: Duration = Duration::from_secs(10);
/// Less is not worth starting a simulator for.
const LEAST: Duration = Duration::from_secs(1);
/// Seeds of a quirk begin so far from those of the one before it.
const APART: u64 = 1_000_000;

/// A bug that can be put back, as the simulator lists it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Quirk {
    pub name: String,
    /// What it is listed under.
    pub promise: String,
    pub origin: String,
}

/// How a quirk was caught.
#[derive(Clone, PartialEq, Debug)]
pub struct Catch {
    /// What broke.
    pub promise: String,
    /// The seed whose plan broke it, and passes without the quirk.
    pub seed: u64,
    /// CPU seconds of all runs up to then.
    pub cpu: f64,
}

/// One quirk that is hunted.
#[derive(Clone, Debug)]
pub struct Target {
    pub quirk: Quirk,
    pub caught: Option<Catch>,
    /// CPU seconds spent.
    pub cpu: f64,
    pub runs: u64,
    /// Seeds that fail without the quirk, too.
    pub fail_anyway: Vec<u64>,
    next_seed: u64,
}

/// What to run next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slice {
    /// Index of the quirk.
    pub target: usize,
    pub seed: u64,
    pub time: Duration,
}

/// What a slice has brought.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct Ran {
    pub runs: u64,
    pub cpu: f64,
    /// Promise and seed of the first run that failed.
    pub failed: Option<(String, u64)>,
    /// Does that seed fail without the quirk, too?
    pub fails_anyway: bool,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub struct Hunt {
    pub targets: Vec<Target>,
    pub round: u32,
    /// Whose turn comes next in this round.
    turn: usize,
}

impl Hunt {
    /// Seeds begin at `first`; those of different quirks lie far apart.
    pub fn new(quirks: Vec<Quirk>, first: u64) -> Hunt {
        let target = |(index, quirk): (u64, Quirk)| Target {
            quirk,
            caught: None,
            cpu: 0.0,
            runs: 0,
            fail_anyway: Vec::new(),
            next_seed: first.wrapping_add(index * APART),
        };
        Hunt { targets: (0..).zip(quirks).map(target).collect(), round: 0, turn: 0 }
    }

    /// How many are caught.
    pub fn caught(&self) -> usize {
        self.targets.iter().filter(|target| target.caught.is_some()).count()
    }

    /// Are all?
    pub fn is_over(&self) -> bool {
        self.caught() == self.targets.len()
    }

    /// The next slice, with so much time left; `None`: all are caught, or time is up.
    pub fn next(&mut self, left: Duration) -> Option<Slice> {
        if self.is_over() || left < LEAST {
            return None;
        }
        let free = |target: &Target| target.caught.is_none();
        if !self.targets[self.turn..].iter().any(free) {
            self.round += 1;
            self.turn = 0;
        }
        let rest = &self.targets[self.turn..];
        let target = self.turn + rest.iter().position(free)?;
        let waiting = rest.iter().filter(|target| free(target)).count() as u32;
        self.turn = target + 1;
        let whole = FIRST.saturating_mul(2u32.saturating_pow(self.round));
        let time = whole.min(left / waiting).max(LEAST);
        Some(Slice { target, seed: self.targets[target].next_seed, time })
    }

    /// A slice is done.
    pub fn done(&mut self, slice: Slice, ran: Ran) {
        let target = &mut self.targets[slice.target];
        target.cpu += ran.cpu;
        target.runs += ran.runs;
        target.next_seed = slice.seed.wrapping_add(ran.runs);
        match ran.failed {
            None => {}
            Some((_, seed)) if ran.fails_anyway => {
                target.fail_anyway.push(seed);
                target.next_seed = seed.wrapping_add(1);
            }
            Some((promise, seed)) => {
                target.caught = Some(Catch { promise, seed, cpu: target.cpu });
            }
        }
    }
}

/// The quirks of `sim --quirk list`: a head, then name, promise and origin, two spaces apart.
pub fn listed(text: &str) -> Vec<Quirk> {
    let row = |line: &str| {
        let (name, rest) = line.trim().split_once("  ")?;
        let (promise, origin) = rest.trim().split_once("  ")?;
        let [name, promise, origin] = [name, promise, origin].map(|it| it.trim().to_owned());
        Some(Quirk { name, promise, origin })
    };
    text.lines().skip(1).filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hunt(names: &[&str]) -> Hunt {
        let quirk = |name: &&str| Quirk {
            name: (*name).to_owned(),
            promise: "one-primary".to_owned(),
            origin: "a bug".to_owned(),
        };
        Hunt::new(names.iter().map(quirk).collect(), 0)
    }

    fn caught(seed: u64) -> Ran {
        Ran { runs: 3, cpu: 1.5, failed: Some(("one-primary".to_owned(), seed)), ..Ran::default() }
    }

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn each_round_gives_everybody_who_is_left_a_longer_slice() {
        let mut hunt = hunt(&["a", "b", "c"]);
        let mut order = Vec::new();
        for _ in 0..5 {
            let slice = hunt.next(HOUR).expect("there is time");
            order.push((slice.target, slice.time.as_secs()));
            let ran = if slice.target == 1 { caught(7) } else { Ran::default() };
            hunt.done(slice, ran);
        }
        assert_eq!(order, [(0, 10), (1, 10), (2, 10), (0, 20), (2, 20)]);
        assert_eq!((hunt.caught(), hunt.is_over()), (1, false));
    }

    #[test]
    fn seeds_go_on_and_differ_between_quirks() {
        let mut hunt = hunt(&["a", "b"]);
        let first = hunt.next(HOUR).expect("a slice");
        hunt.done(first, Ran { runs: 40, ..Ran::default() });
        let second = hunt.next(HOUR).expect("a slice");
        hunt.done(second, Ran::default());
        let third = hunt.next(HOUR).expect("a slice");
        assert_eq!((first.seed, second.seed, third.seed), (0, APART, 40));
    }

    #[test]
    fn the_time_that_is_left_is_shared() {
        let mut hunt = hunt(&["a", "b", "c", "d"]);
        let left = Duration::from_secs(8);
        assert_eq!(hunt.next(left).map(|slice| slice.time), Some(Duration::from_secs(2)));
        assert_eq!(hunt.next(Duration::from_millis(900)), None);
    }

    #[test]
    fn a_seed_that_fails_anyway_is_no_catch_and_is_passed_over() {
        let mut hunt = hunt(&["a"]);
        let slice = hunt.next(HOUR).expect("a slice");
        hunt.done(slice, Ran { fails_anyway: true, ..caught(2) });
        assert_eq!(hunt.targets[0].fail_anyway, [2]);
        let slice = hunt.next(HOUR).expect("another");
        assert_eq!(slice.seed, 3);
        hunt.done(slice, caught(4));
        let catch = hunt.targets[0].caught.clone().expect("caught");
        assert_eq!((catch.seed, catch.cpu), (4, 3.0));
        assert_eq!(hunt.next(HOUR), None);
    }

    #[test]
    fn the_list_is_read() {
        let text = "  name  caught by    origin\n  a-b   one-primary  two  words (9.1)\n";
        let quirks = listed(text);
        assert_eq!(quirks.len(), 1);
        assert_eq!((quirks[0].name.as_str(), quirks[0].promise.as_str()), ("a-b", "one-primary"));
        assert_eq!(quirks[0].origin, "two  words (9.1)");
    }
}
