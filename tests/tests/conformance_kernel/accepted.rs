//! The differences that are accepted, one a line, each with the section of the fact sheet that says
//! why. See the head of `kernel/accepted.txt` for the format.

use crate::compare::Difference;

/// One line.
struct Rule {
    line: usize,
    text: String,
    kind: Kind,
    used: bool,
}

enum Kind {
    /// Script, step, host, what; value in the kernel, value in the engine.
    Differs([String; 4], String, String),
    /// Where the kernel, or the engine, goes through these values of a field, the other goes
    /// through those.
    Reads { kernel: bool, field: String, from: Vec<String>, to: Vec<String> },
    /// Script and step in which the engine goes another way altogether.
    Way(String, String),
    /// Script, and why it cannot be played.
    Unplayed(String, String),
}

/// All of them.
pub struct Accepted {
    rules: Vec<Rule>,
}

impl Accepted {
    /// Reads the file.
    pub fn read(text: &str) -> Result<Accepted, String> {
        let mut rules = Vec::new();
        for (nr, line) in text.lines().enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (rule, why) = line.split_once(" | ").unwrap_or((line, ""));
            if why.is_empty() {
                return Err(format!("line {}: `| section: why` is missing", nr + 1));
            }
            let kind = kind(rule).ok_or_else(|| format!("line {}: not a rule: {rule}", nr + 1))?;
            rules.push(Rule { line: nr + 1, text: rule.to_owned(), kind, used: false });
        }
        Ok(Accepted { rules })
    }

    /// What is wrong with a difference, if it is not accepted.
    pub fn judge(&mut self, it: &Difference) -> Option<String> {
        let place = [&it.script, &it.step, &it.host, &it.what];
        for rule in &mut self.rules {
            let fits = match &rule.kind {
                Kind::Differs(of, kernel, engine) => {
                    let place = of.iter().zip(place).all(|(glob, name)| matches(glob, name));
                    place && *kernel == it.kernel && *engine == it.engine
                }
                Kind::Way(script, step) => *script == it.script && *step == it.step,
                _ => false,
            };
            if fits {
                rule.used = true;
                return None;
            }
        }
        let kernel = self.read_as(true, &it.what, &it.kernel);
        let engine = self.read_as(false, &it.what, &it.engine);
        if kernel.0 == engine.0 {
            kernel.1.iter().chain(&engine.1).for_each(|rule| self.rules[*rule].used = true);
            return None;
        }
        let [script, step, host, what] = place;
        Some(format!("{script} {step} {host} {what}: {} => {}", it.kernel, it.engine))
    }

    /// A sequence as the other side would say it, and the rules for that.
    fn read_as(&self, kernel: bool, what: &str, sequence: &str) -> (Vec<String>, Vec<usize>) {
        let (mut values, mut used) = (words(sequence), Vec::new());
        for (nr, rule) in self.rules.iter().enumerate() {
            let Kind::Reads { kernel: side, field, from, to } = &rule.kind else { continue };
            if *side != kernel || field != what {
                continue;
            }
            let found = |values: &[String]| values.windows(from.len()).position(|it| it == from);
            // Once: what a rule makes is not its own business again.
            if let Some(at) = found(&values) {
                values.splice(at..at + from.len(), to.clone());
                values.dedup();
                used.push(nr);
            }
        }
        (values, used)
    }

    /// What is wrong with a script that could not be played, if that is not accepted.
    pub fn judge_unplayed(&mut self, script: &str, why: &str) -> Option<String> {
        for rule in &mut self.rules {
            let Kind::Unplayed(glob, reason) = &rule.kind else { continue };
            if matches(glob, script) && reason == why {
                rule.used = true;
                return None;
            }
        }
        Some(format!("unplayed {script}: {why}"))
    }

    /// Lines that nothing needs.
    pub fn unused(&self) -> Vec<String> {
        let unused = self.rules.iter().filter(|rule| !rule.used);
        unused.map(|rule| format!("line {} is not needed: {}", rule.line, rule.text)).collect()
    }
}

fn kind(rule: &str) -> Option<Kind> {
    if let Some(rest) = rule.strip_prefix("unplayed ") {
        let (script, why) = rest.split_once(": ")?;
        return Some(Kind::Unplayed(script.to_owned(), why.to_owned()));
    }
    if let Some(rest) = rule.strip_prefix("otherwise ") {
        let (script, step) = rest.split_once(' ')?;
        return Some(Kind::Way(script.to_owned(), step.to_owned()));
    }
    for (prefix, kernel) in [("kernel ", true), ("engine ", false)] {
        if let Some(rest) = rule.strip_prefix(prefix) {
            let (field, rest) = rest.split_once(' ')?;
            let (from, to) = rest.split_once(" as ")?;
            let (from, to) = (words(from), words(to));
            return Some(Kind::Reads { kernel, field: field.to_owned(), from, to });
        }
    }
    let (place, values) = rule.split_once(": ")?;
    let (kernel, engine) = values.split_once("=>")?;
    let mut words = place.split(' ').map(str::to_owned);
    let place = [words.next()?, words.next()?, words.next()?, words.next()?];
    Some(Kind::Differs(place, kernel.trim().to_owned(), engine.trim().to_owned()))
}

/// Values of a sequence; `-` is none.
fn words(sequence: &str) -> Vec<String> {
    let values = sequence.split('>').filter(|value| !value.is_empty() && *value != "-");
    values.map(str::to_owned).collect()
}

/// `*` at the end of a word stands for anything.
fn matches(glob: &str, name: &str) -> bool {
    glob.strip_suffix('*').map_or(glob == name, |start| name.starts_with(start))
}
