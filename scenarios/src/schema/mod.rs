//! What a scenario file may say, as data: the JSON Schema that editors complete from, and the
//! reference page. A test holds both against the reader.

mod json;
mod page;
mod parts;
mod verbs;

pub use json::json_schema;
pub use page::reference;

/// What a value looks like.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// Kebab case.
    Name,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Number,
    /// A whole number, or hexadecimal in quotes.
    Seed,
    /// A quantity with a unit: "20s".
    Quantity(Unit),
    /// One quantity, or "A..B".
    Range(Unit),
    /// "-5s"
    Signed,
    /// One of these words.
    Word(&'static [&'static str]),
    /// One of these words, or a list of them.
    Words(&'static [&'static str]),
    /// A list of texts.
    Texts,
    /// A list in which these words may stand.
    List(&'static [&'static str]),
    /// An exit code, or "any".
    Exit,
    /// The first, or a table by host.
    ByHost(&'static Shape),
    /// The first, a table by peer, or a table by host and peer.
    ByPeer(&'static Shape),
    /// A table, or a list of tables, with these keys.
    Table(&'static Part),
    /// A list of such tables.
    Tables(&'static Part),
    /// A list of conditions.
    Conditions,
    /// Such tables by name.
    Named(&'static Part),
    /// Values by name: a range, or a list of anything.
    Vary,
    /// DRBD options by name.
    Options,
    /// `[[step]]`'s `do`.
    Do,
    /// The id of a step, or a condition.
    StepOrCondition,
    /// Always true.
    True,
}

/// Kinds of quantities.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Duration,
    Size,
    Rate,
    Share,
}

/// One key of a table.
#[derive(Debug)]
pub(crate) struct Key {
    pub name: &'static str,
    pub shape: Shape,
    /// What is taken if it is left out; `None` if it must not be.
    pub default: Option<&'static str>,
    pub about: &'static str,
}

/// A table of the file.
#[derive(Debug)]
pub(crate) struct Part {
    /// As it is headed in the file.
    pub head: &'static str,
    pub about: &'static str,
    pub keys: &'static [Key],
    /// An example, as TOML.
    pub example: &'static str,
}

/// A key that must be there.
pub(crate) const fn need(name: &'static str, shape: Shape, about: &'static str) -> Key {
    Key { name, shape, default: None, about }
}

/// A key that may be left out.
pub(crate) const fn may(
    name: &'static str,
    shape: Shape,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key { name, shape, default: Some(default), about }
}

#[cfg(test)]
mod tests;
