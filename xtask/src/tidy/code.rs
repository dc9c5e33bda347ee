//! Rust text without comments and literals, so that rules look at code alone. Same lines, same
//! columns.

/// Blanks comments, strings and characters.
pub fn only(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = skipped(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins here ends; here, if none begins.
fn skipped(chars: &[char], at: usize) -> usize {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match chars[at] {
        '/' if next(1) == '/' => find(chars, at, |c| c == '\n'),
        '/' if next(1) == '*' => block_comment(chars, at),
        '"' => quoted(chars, at + 1, '"'),
        'b' if next(1) == '"' && !word_before => quoted(chars, at + 2, '"'),
        'b' if next(1) == '\'' && !word_before => quoted(chars, at + 2, '\''),
        'r' if !word_before && "\"#".contains(next(1)) => raw(chars, at + 1).unwrap_or(at),
        'b' if !word_before && next(1) == 'r' => raw(chars, at + 2).unwrap_or(at),
        // A lifetime has no closing quote two or more characters on.
        '\'' if next(1) == '\\' || next(2) == '\'' => quoted(chars, at + 1, '\''),
        _ => at,
    }
}

fn find(chars: &[char], from: usize, end: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|i| end(chars[*i])).unwrap_or(chars.len())
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// The end of a raw string whose hashes begin here; none for a raw identifier.
fn raw(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars[from..].iter().take_while(|c| **c == '#').count();
    let mut at = from + hashes;
    if chars.get(at) != Some(&'"') {
        return None;
    }
    at += 1;
    while at < chars.len() {
        let closes = chars[at] == '"'
            && chars[at + 1..].iter().take(hashes).filter(|c| **c == '#').count() == hashes;
        at += 1;
        if closes {
            return Some(at + hashes);
        }
    }
    Some(chars.len())
}

#[cfg(test)]
mod tests {
    use super::only;

    fn check(text: &str, expected: &str) {
        assert_eq!(only(text), expected);
        assert_eq!(only(text).chars().count(), text.chars().count());
    }

    #[test]
    fn comments_and_literals_are_blank() {
        check("a // HashMap\nb", "a           \nb");
        check("a /* x /* y */ z */ b", "a                   b");
        check("f(\"HashMap\\\"\", 1)", "f(           , 1)");
        check("r#\"a\"b\"# c", "         c");
        check("b\"x\" br\"y\" z", "           z".trim_end_matches("never"));
        check("'a' '\\n' &'a T", "         &'a T");
        check("r#type + for_r\"x\"", "r#type + for_r   ");
        check("'\"' + \"'\" + x", "    +     + x");
    }

    #[test]
    fn lines_stay() {
        check("\"a\nb\" c", "  \n   c");
        check("/* never closed\n", "               \n");
    }
}
