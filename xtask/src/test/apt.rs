//! Debian's packages that a part needs: installed where that is allowed, as root.

use std::process::{Command, Stdio};

/// Does this program start?
pub fn starts(program: &str) -> bool {
    let mut probe = Command::new(program);
    probe.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok()
}

/// Installs a package, if this user may; whether it is there now, the program tells.
pub fn install(package: &str) {
    let user = Command::new("id").arg("-u").output();
    if !user.is_ok_and(|it| it.stdout == b"0\n") {
        return;
    }
    println!("installing Debian's package {package}");
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        let status = apt.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    let wanted = ["install", "-y", "--no-install-recommends", package];
    // A new machine may know no package yet.
    if !apt(&wanted) && apt(&["update"]) {
        apt(&wanted);
    }
}
