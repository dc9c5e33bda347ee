//! Writes JSON objects with their fields in the order in which people want to read them.

/// One object under way.
pub struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    /// Begins.
    pub fn new(out: &'a mut String) -> Object<'a> {
        out.push('{');
        Object { out, first: true }
    }

    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        quote(self.out, key);
        self.out.push(':');
        self.out
    }

    /// A number or anything else that is JSON already.
    pub fn raw(mut self, key: &str, value: impl std::fmt::Display) -> Object<'a> {
        use std::fmt::Write;
        let _ = write!(self.key(key), "{value}");
        self
    }

    /// A text.
    pub fn text(mut self, key: &str, value: &str) -> Object<'a> {
        let out = self.key(key);
        quote(out, value);
        self
    }

    /// A text, if there is one.
    pub fn maybe(self, key: &str, value: Option<&str>) -> Object<'a> {
        match value {
            Some(value) => self.text(key, value),
            None => self,
        }
    }

    /// A number, if there is one.
    pub fn number(self, key: &str, value: Option<u64>) -> Object<'a> {
        match value {
            Some(value) => self.raw(key, value),
            None => self,
        }
    }

    /// Ends.
    pub fn end(self) {
        self.out.push('}');
    }
}

/// A text as JSON has it; safe inside a `<script>` too.
pub fn quote(out: &mut String, text: &str) {
    use std::fmt::Write;
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// A list of texts.
pub fn list<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::from("[");
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        quote(&mut out, item);
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back_as_they_were() {
        let nasty = "a\"b\\c\n</script><!-- & \u{1}\u{2028}é";
        let mut out = String::new();
        Object::new(&mut out).raw("t", 1).text("x", nasty).maybe("y", None).end();
        let back: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!((back["x"].as_str(), back["t"].as_u64()), (Some(nasty), Some(1)));
        assert!(!out.contains('<') && !out.contains('>'));
    }
}
