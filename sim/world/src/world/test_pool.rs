//! The pool of tests that tell what commands and plans do to a running world.

/// A scenario of this name on these hosts, at least alpha, bravo and charlie. Its resyncs end
/// within seconds: DRBD's own pace would take longer than the run.
pub fn pool(name: &str, hosts: &str) -> String {
    format!(
        r#"
schema = 1
name = "{name}"
horizon = "90s"
[pool]
hosts = {hosts}
[[resource]]
name = "vol-a"
size = "16MiB"
diskful = ["alpha", "bravo"]
tiebreaker = "charlie"
[resource.options]
quorum = "majority"
rr-conflict = "retry-connect"
c-plan-ahead = "0"
resync-rate = "102400"
c-min-rate = "0"
[[vm]]
name = "vm-a"
on = "alpha"
vdi = "vol-a"
io = {{ write = 1, block = "4KiB..8KiB" }}
"#
    )
}
