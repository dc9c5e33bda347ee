//! The `.res` file of a script, in the words of 8.4: two `on` sections, no node ids.

use crate::guest::address;
use crate::script::Script;
use std::fmt::Write;

/// Where it is in a guest.
pub const PATH: &str = "/etc/drbd.conf";

/// Handlers that the module calls: each tells of itself and succeeds.
const HANDLERS: [&str; 9] = [
    "after-resync-target",
    "before-resync-target",
    "fence-peer",
    "initial-split-brain",
    "out-of-sync",
    "pri-lost",
    "pri-lost-after-sb",
    "pri-on-incon-degr",
    "split-brain",
];

/// The file's text.
pub fn text(script: &Script) -> String {
    let mut out = String::from("global { usage-count no; }\n");
    let name = &script.scenario.resource[0].name;
    // Writing to a string does not fail.
    let _ = writeln!(out, "resource {name} {{\n  protocol C;");
    let _ = writeln!(out, "  device /dev/drbd0;\n  disk /dev/vda;\n  meta-disk internal;");
    for (section, options) in [("net", &script.net), ("disk", &script.disk)] {
        let _ = writeln!(out, "  {section} {{");
        for (key, value) in options {
            let _ = writeln!(out, "    {key} {value};");
        }
        let _ = writeln!(out, "  }}");
    }
    let _ = writeln!(out, "  handlers {{");
    for handler in HANDLERS {
        let _ = writeln!(out, "    {handler} \"/bin/handler {handler}\";");
    }
    let _ = writeln!(out, "  }}");
    for (port, host) in script.scenario.pool.hosts.iter().enumerate() {
        let _ = writeln!(out, "  on {host} {{ address {}:7789; }}", address(port));
    }
    out.push_str("}\n");
    out
}
