//! What makes two failures the same one: class, promise, and for those that say no more than that
//! something broke, what it was. Not when, nor where: names of hosts, resources and numbers are
//! left out.

use super::job::{Failed, Severity};

/// See the module's text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Signature {
    /// Class.
    pub severity: Severity,
    /// The promise, or `panic`, `limit`, `expectation`.
    pub promise: String,
    /// What broke, without names and numbers; empty where the promise says it all.
    pub detail: String,
}

/// Promises of which there is more than one way to break them.
const MANY: [&str; 5] = ["panic", "limit", "expectation", "no-forbidden-state", "plan"];
/// Words of a detail.
const WORDS: usize = 40;

impl Signature {
    /// Of a failure.
    pub fn of(failed: &Failed) -> Signature {
        let detail = match MANY.contains(&failed.promise.as_str()) {
            true => plain(failed),
            false => String::new(),
        };
        Signature { severity: failed.severity, promise: failed.promise.clone(), detail }
    }
}

fn plain(failed: &Failed) -> String {
    let named = |word: &str| failed.hosts.iter().any(|row| row[..2].iter().any(|it| it == word));
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let mut out = String::new();
    let mut rest = failed.what.as_str();
    let mut words = 0;
    while let Some(start) = rest.find(part) {
        let word = &rest[start..];
        let word = &word[..word.find(|c| !part(c)).unwrap_or(word.len())];
        out.push_str(&rest[..start]);
        let numbered = word.contains(|c: char| c.is_ascii_digit());
        out.push_str(if named(word) || numbered { "…" } else { word });
        rest = &rest[start + word.len()..];
        words += 1;
        if words == WORDS {
            return out;
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(promise: &str, what: &str) -> Failed {
        let mut failed = Failed::bare(Severity::Panic, promise, what.to_owned());
        let row = |host: &str| [host, "vol-a", "", "", "", "", ""].map(str::to_owned);
        failed.hosts = vec![row("alpha"), row("bravo")];
        failed
    }

    #[test]
    fn names_and_numbers_make_no_difference() {
        let panic = |what| Signature::of(&failed("panic", what));
        let one = panic("host alpha, resource vol-a: index 7 out of bounds");
        assert_eq!(one.detail, "host …, resource …: index … out of bounds");
        assert_eq!(one, panic("host bravo, resource vol-a: index 12 out of bounds"));
        assert_ne!(one, panic("host bravo, resource vol-a: no such peer"));
    }

    #[test]
    fn a_promise_says_it_all() {
        let a = failed("one-primary", "vol-a: alpha and bravo");
        let b = failed("one-primary", "vol-b: charlie and delta");
        assert_eq!(Signature::of(&a), Signature::of(&b));
        assert_ne!(Signature::of(&a), Signature::of(&failed("reads-are-fresh", "")));
    }
}
