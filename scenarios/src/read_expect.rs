//! `[[expect]]`, `[vary]`, `[known]`, `[replay]`: what has to be seen, what may change, what is
//! known to fail, what failed.

use std::collections::BTreeMap;

use crate::cursor::{Read, Table, Value};
use crate::error::Wrong;
use crate::limits::VARY_MAX;
use crate::read_condition::some_condition;
use crate::scenario::{Expect, Expectation, Known, Replay, Vary};
use crate::units::DURATION;

/// One `[[expect]]`.
pub(crate) fn expect(mut table: Table) -> Read<Expect> {
    let text = |v: &Value| v.string().map(Some);
    let keys = ["within", "always", "never"].map(|key| (key, table.get(key)));
    let mut said = keys.iter().filter_map(|(key, value)| Some((*key, (*value)?)));
    let (Some((key, value)), None) = (said.next(), said.next()) else {
        let what = "an expectation is one of `within`, `always`, `never`";
        let remedy = "as in within = \"2m\", that = { … }; or always = { … }";
        return table.fault(Wrong::new(what, remedy));
    };
    let that = table.get("that");
    let (kind, that) = match (key, that) {
        ("within", that) => {
            let within = Expectation::Within(value.quantity(&DURATION)?);
            let that = that.map_or_else(|| table.need("that"), Ok)?;
            (within, some_condition(&that, "that")?)
        }
        (_, Some(that)) => {
            let what = "`always` and `never` hold their condition themselves";
            return that.fault(Wrong::new(what, "leave `that` out, or write `within`"));
        }
        ("always", None) => (Expectation::Always, some_condition(&value, "always")?),
        _ => (Expectation::Never, some_condition(&value, "never")?),
    };
    let expect = Expect {
        id: table.or("id", None, text)?,
        kind,
        that,
        after: table.or("after", None, text)?,
        until: table.or("until", None, text)?,
    };
    table.finish()?;
    Ok(expect)
}

/// `[vary]`: values by path.
pub(crate) fn vary(value: &Value) -> Read<BTreeMap<String, Vary>> {
    let table = value.table("[vary]")?;
    if table.len() > VARY_MAX {
        return table.fault(Wrong::new("too many entries", format!("use at most {VARY_MAX}")));
    }
    table.entries().map(|(path, value)| Ok((path.to_owned(), one_vary(&value)?))).collect()
}

fn one_vary(value: &Value) -> Read<Vary> {
    if !value.is_text() {
        let values = value.list(VARY_MAX)?;
        if values.is_empty() {
            return value.fault(Wrong::new("no value at all", "give at least one"));
        }
        return Ok(Vary::OneOf(values.iter().map(Value::source).collect()));
    }
    match value.text()?.split_once("..") {
        Some((low, high)) => Ok(Vary::Range(low.trim().to_owned(), high.trim().to_owned())),
        None => {
            let remedy = "write a range as in \"5s..60s\", or a list of values";
            value.fault(Wrong::new("one value varies nothing", remedy))
        }
    }
}

/// `[known]`: failures by world.
pub(crate) fn known(value: &Value) -> Read<BTreeMap<String, Known>> {
    let table = value.table("[known]")?;
    table.entries().map(|(world, value)| Ok((world.to_owned(), one_known(&value)?))).collect()
}

fn one_known(value: &Value) -> Read<Known> {
    let text = |v: &Value| v.string().map(Some);
    let mut table = value.table("a known failure")?;
    let known = Known {
        version: table.or("version", None, text)?,
        quirk: table.or("quirk", None, text)?,
        breaks: table.need("breaks")?.string()?,
    };
    table.finish()?;
    Ok(known)
}

/// `[replay]`: the run that the file was shrunk from.
pub(crate) fn replay(value: &Value) -> Read<Option<Replay>> {
    let text = |v: &Value| v.string().map(Some);
    let mut table = value.table("[replay]")?;
    let replay = Replay {
        seed: table.need("seed")?.seed()?,
        commit: table.or("commit", None, text)?,
        breaks: table.need("breaks")?.string()?,
        quirk: table.or("quirk", None, text)?,
    };
    table.finish()?;
    Ok(Some(replay))
}
