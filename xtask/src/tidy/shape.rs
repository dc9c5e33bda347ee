//! How files look: columns, length of functions, first lines, white space, things left lying about.

use super::{Finding, Source};

const COLUMNS: usize = 100;
const LINES_OF_FUNCTION: usize = 70;
/// Texts that programs write.
const GOLDEN: &str = "tests/tests/cli/";

/// No line is longer than a screen half.
pub fn columns(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in source.text.lines().enumerate() {
        let wide = line.chars().count();
        // An address or a quoted message cannot be folded.
        let unbreakable = line.contains("://") || line.trim_start().starts_with('"');
        if source.is_rust() && wide > COLUMNS && !unbreakable {
            let what = format!("{wide} columns, at most {COLUMNS} are allowed");
            findings.push(Finding::new(source, i + 1, what));
        }
    }
    findings
}

/// A function fits a screen.
pub fn functions(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (at, _) in source.code.match_indices("fn ") {
        let word = at > 0 && source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if word {
            continue;
        }
        let Some(length) = body_lines(&source.code[at..]) else { continue };
        if length > LINES_OF_FUNCTION {
            let line = source.code[..at].matches('\n').count() + 1;
            let what =
                format!("a function of {length} lines, at most {LINES_OF_FUNCTION}: split it");
            findings.push(Finding::new(source, line, what));
        }
    }
    findings
}

/// Lines from `fn` to its closing brace; none for a declaration or a type.
fn body_lines(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut round = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => round += 1,
            ')' | ']' => round = round.checked_sub(1)?,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 && round == 0 {
                    return Some(code[..at].matches('\n').count() + 1);
                }
            }
            ';' if depth == 0 && round == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The first lines say what a file is for.
pub fn first_line(source: &Source) -> Vec<Finding> {
    let fits = !source.is_rust() || source.text.starts_with("//! ");
    if fits {
        return Vec::new();
    }
    vec![Finding::new(source, 1, "the file has to begin with `//! ` and say what it is for")]
}

/// No white space at ends of lines, no tabs in code, one line feed at the end.
pub fn white_space(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    if source.path.starts_with(GOLDEN) || source.path.contains("/tests/data/") {
        return findings;
    }
    for (i, line) in source.text.split('\n').enumerate() {
        if line.ends_with([' ', '\t', '\r']) {
            findings.push(Finding::new(source, i + 1, "white space at the end of the line"));
        }
        if source.is_rust() && line.contains('\t') {
            findings.push(Finding::new(source, i + 1, "a tab"));
        }
    }
    let licence = source.path.starts_with("LICENSE");
    if !source.text.is_empty() && !licence && !source.text.ends_with('\n') {
        findings.push(Finding::new(source, 0, "no line feed at the end"));
    }
    findings
}

/// What must not be left lying about. In literals here, so that this list is not a finding itself.
const LEFTOVERS: &[(&str, &str)] = &[
    ("todo!", "finish it, or leave it out"),
    ("unimplemented!", "finish it, or leave it out"),
    ("dbg!", "take it out"),
    ("#[ignore", "a test that does not run is no test: assert what is true today"),
    ("#[should_panic", "assert the error"),
    ("allow(dead_code", "take the code out"),
];

/// Nothing unfinished is left.
pub fn leftovers(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, line) in source.code.lines().enumerate() {
        for (word, remedy) in LEFTOVERS {
            if line.contains(word) {
                findings.push(Finding::new(source, i + 1, format!("{word}: {remedy}")));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: [usize; 0] = [];

    fn lines(rule: fn(&Source) -> Vec<Finding>, text: &str) -> Vec<usize> {
        rule(&Source::new("nodes/x/src/x.rs", text)).into_iter().map(|it| it.line).collect()
    }

    #[test]
    fn wide_lines_are_found() {
        let wide = format!("//! x\n// {}\n", "ü".repeat(98));
        assert_eq!(lines(columns, &wide), [2]);
        assert_eq!(lines(columns, &format!("// {}\n", "ü".repeat(97))), NONE);
    }

    #[test]
    fn long_functions_are_found() {
        let function = |body: usize| {
            format!(
                "//! x\nimpl X {{\n    fn f(&self, a: [u8; 4]) -> u8 {{\n{}    }}\n}}\n",
                "\n".repeat(body)
            )
        };
        assert_eq!(lines(functions, &function(68)), NONE);
        assert_eq!(lines(functions, &function(69)), [3]);
        let declared = format!("trait T {{ fn f(); {}fn g(); }}", "\n".repeat(99));
        assert_eq!(lines(functions, &declared), NONE);
        assert_eq!(
            lines(functions, &format!("let x: fn (u8) -> u8 = y; {}", "\n".repeat(99))),
            NONE
        );
    }

    #[test]
    fn files_say_what_they_are_for() {
        assert_eq!(lines(first_line, "use x;\n"), [1]);
        assert_eq!(lines(first_line, "//! What it is.\n"), NONE);
    }

    #[test]
    fn white_space_is_found() {
        assert_eq!(lines(white_space, "a \nb\n"), [1]);
        assert_eq!(lines(white_space, "\ta\n"), [1]);
        assert_eq!(lines(white_space, "a"), [0]);
        assert_eq!(lines(white_space, "a\n"), NONE);
    }

    #[test]
    fn leftovers_are_found() {
        for (word, _) in LEFTOVERS {
            assert_eq!(lines(leftovers, &format!("x\n{word}\n")), [2], "{word} does not bite");
        }
        assert_eq!(lines(leftovers, "// todo! in a comment\n"), NONE);
    }
}
