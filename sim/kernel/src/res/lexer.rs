//! Words of a `.res` file with their lines: punctuation, bare words, quoted strings, comments left
//! out. As drbdadm's scanner, it takes a quote that is never closed for a word of its own.

/// Kinds of words that the parser tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// One of `; { } [ ]`.
    Mark,
    /// A bare word.
    Word,
    /// What stood between quotes.
    Quoted,
    /// A quote that is never closed.
    Stray,
    /// The file is over.
    End,
}

/// One word.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub kind: Kind,
    pub text: String,
    /// Counted from 1.
    pub line: u32,
}

impl Token {
    pub fn is(&self, mark: &str) -> bool {
        self.kind == Kind::Mark && self.text == mark
    }

    /// A word or a string.
    pub fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Word | Kind::Quoted)
    }

    /// How drbdadm shows it: with its scanner's number.
    pub fn shown(&self) -> String {
        let number = match self.kind {
            Kind::Mark => self.text.bytes().next().unwrap_or(0).into(),
            Kind::Word | Kind::Quoted => 281,
            Kind::Stray => 282,
            Kind::End => 0,
        };
        format!("'{}' (TK {number})", self.text)
    }
}

const MARKS: &str = ";{}[]";

/// All words of a text, the end included. A file of `n` characters has at most `n + 1` of them.
pub(super) fn words(text: &str) -> Vec<Token> {
    let mut all = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '\n' => {
                line += 1;
                1
            }
            c if c.is_whitespace() => c.len_utf8(),
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => {
                let (token, len) = quoted(rest, line);
                all.push(token);
                len
            }
            c if MARKS.contains(c) => {
                all.push(Token { kind: Kind::Mark, text: c.to_string(), line });
                1
            }
            _ => {
                let len = rest.find(ends_word).unwrap_or(rest.len());
                all.push(Token { kind: Kind::Word, text: rest[..len].to_owned(), line });
                len
            }
        };
        rest = &rest[len..];
    }
    all.push(Token { kind: Kind::End, text: String::new(), line });
    all
}

fn ends_word(c: char) -> bool {
    c.is_whitespace() || MARKS.contains(c) || c == '"' || c == '#'
}

/// A string on one line, a backslash protecting what follows it.
fn quoted(rest: &str, line: u32) -> (Token, usize) {
    let mut text = String::new();
    let mut inside = rest.char_indices().skip(1);
    while let Some((at, c)) = inside.next() {
        match c {
            '"' => return (Token { kind: Kind::Quoted, text, line }, at + 1),
            // Up to the end of the line it is one word all the same.
            '\n' => return (Token { kind: Kind::Stray, text, line }, at + 1),
            '\\' => text.extend(inside.next().map(|(_, c)| c)),
            c => text.push(c),
        }
    }
    (Token { kind: Kind::Stray, text: "\"".to_owned(), line }, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_and_comments_left_out() {
        let all = words("a # b \"c\n  \"d \\\" e\" {x;}\n\"open");
        let got: Vec<(&str, u32)> = all.iter().map(|t| (t.text.as_str(), t.line)).collect();
        let want = [("a", 1), ("d \" e", 2), ("{", 2), ("x", 2), (";", 2), ("}", 2), ("\"", 3)];
        assert_eq!(got[..7], want);
        assert_eq!(got[7..], [("open", 3), ("", 3)]);
    }
}
