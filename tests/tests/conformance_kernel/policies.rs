//! The policies after a split brain that a script asks for.

use drbd::core::config::{AfterSb, AfterSb0, AfterSb1, AfterSb2};
use std::collections::BTreeMap;

/// From the options of a `net` section; what is not named has DRBD's default.
///
/// # Panics
///
/// At a word that DRBD does not know.
pub fn read(net: &BTreeMap<String, String>) -> AfterSb {
    let word = |name: &str| net.get(name).map_or("disconnect", String::as_str);
    AfterSb {
        zero: match word("after-sb-0pri") {
            "disconnect" => AfterSb0::Disconnect,
            "discard-younger-primary" => AfterSb0::DiscardYounger,
            "discard-older-primary" => AfterSb0::DiscardOlder,
            "discard-zero-changes" => AfterSb0::DiscardZeroChanges,
            "discard-least-changes" => AfterSb0::DiscardLeastChanges,
            other => panic!("no after-sb-0pri is called {other}"),
        },
        one: match word("after-sb-1pri") {
            "disconnect" => AfterSb1::Disconnect,
            "consensus" => AfterSb1::Consensus,
            "violently-as0p" => AfterSb1::ViolentlyAs0p,
            "discard-secondary" => AfterSb1::DiscardSecondary,
            "call-pri-lost-after-sb" => AfterSb1::CallPriLost,
            other => panic!("no after-sb-1pri is called {other}"),
        },
        two: match word("after-sb-2pri") {
            "disconnect" => AfterSb2::Disconnect,
            "violently-as0p" => AfterSb2::ViolentlyAs0p,
            "call-pri-lost-after-sb" => AfterSb2::CallPriLost,
            other => panic!("no after-sb-2pri is called {other}"),
        },
        always: false,
    }
}
