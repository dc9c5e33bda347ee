//! Historical bugs that the simulator can put back. Compiled to "none" on hosts.

/// A change to the engine that reproduces a real bug of DRBD's history.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Quirk {
    /// Name on the command line, kebab case.
    pub name: &'static str,
    /// The promise that catches it.
    pub promise: &'static str,
    /// What the bug was and where it was fixed.
    pub origin: &'static str,
}

/// Which quirks are on.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Quirks(u64);

/// All quirks that this build knows.
pub const ALL: &[Quirk] = &[];

impl Quirks {
    /// The set with the quirk of this name, or `None` if no quirk has it.
    pub fn named(name: &str) -> Option<Quirks> {
        ALL.iter().position(|q| q.name == name).map(|i| Quirks(1 << i))
    }
    /// Is any quirk on?
    pub fn any(self) -> bool {
        self.0 != 0
    }
}
