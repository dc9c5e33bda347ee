//! A command line into words, as a shell splits it: quotes and backslashes, nothing else.

/// The words of a command line.
///
/// # Errors
///
/// What only a shell could do (pipes, variables, patterns), or a quote that stays open, as text.
pub fn split(line: &str) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_whitespace() => all.extend(word.take()),
            '\'' | '"' => {
                let into = word.get_or_insert_default();
                quoted(c, &mut chars, into)?;
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            '|' | '&' | ';' | '<' | '>' | '$' | '`' | '(' | ')' | '*' | '?' => {
                return Err(format!("`{c}` needs a shell: name one program and its arguments"));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    all.extend(word);
    Ok(all)
}

fn quoted(quote: char, chars: &mut std::str::Chars, into: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(()),
            '\\' if quote == '"' => into.extend(chars.next()),
            '$' | '`' if quote == '"' => {
                return Err(format!("`{c}` needs a shell: name one program and its arguments"));
            }
            c => into.push(c),
        }
    }
    Err(format!("the quote {quote} stays open"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_a_shell_makes_of_them() {
        let got = split("  drbdadm -d  'a b'\"c \\\" d\"\\  e\\'f '' ").unwrap();
        assert_eq!(got, ["drbdadm", "-d", "a bc \" d ", "e'f", ""]);
        for bad in ["a | b", "a > b", "a; b", "$A", "`a`", "'a", "\"$a\""] {
            assert!(split(bad).is_err(), "{bad}");
        }
    }
}
