//! What a run of all cases says.

use env::conformance::Verdict;

/// Counts, printed case by case.
#[derive(Default)]
pub struct Report {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Report {
    /// Prints one case's line and counts it.
    pub fn case(&mut self, name: &str, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => {
                self.passed += 1;
                println!("passed {name}");
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                println!("FAILED {name}: {why}");
            }
            Verdict::Skipped(why) => {
                self.skipped += 1;
                println!("skipped {name}, because {why}");
            }
        }
    }

    /// Prints the last line; whether nothing failed and anything ran.
    pub fn end(&self, world: &str) -> bool {
        let Report { passed, failed, skipped } = self;
        println!("conformance[{world}]: {passed} passed, {failed} failed, {skipped} skipped");
        *failed == 0 && passed + skipped > 0
    }
}
