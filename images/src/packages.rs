//! What guests are made of: Debian's packages, downloaded and unpacked into a cache, so that the
//! machine stays as it is. QEMU alone is installed, and only by root.

use crate::Missing;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The package that depends on the newest kernel of its flavour. The cloud flavour has every driver
/// that a guest here needs, and is a quarter of the size.
pub const KERNEL: &str = "linux-image-cloud-amd64";
/// The shell and its programs, in one static binary.
pub const BUSYBOX: &str = "busybox-static";
/// DRBD's own tools.
pub const DRBD: &str = "drbd-utils";
/// The emulator's package, and its program.
pub const QEMU: (&str, &str) = ("qemu-system-x86", "qemu-system-x86_64");

/// An unpacked package.
#[derive(Clone, Debug)]
pub struct Package {
    /// Debian's version.
    pub version: String,
    /// Where its files are.
    pub root: PathBuf,
}

/// Everything that guests need from outside.
#[derive(Clone, Debug)]
pub struct Packages {
    /// The kernel and its modules.
    pub kernel: Package,
    /// The shell.
    pub busybox: Package,
    /// `drbdadm` and its kin.
    pub drbd: Package,
    /// As QEMU says it, e.g. `7.2.22`.
    pub qemu: String,
}

/// Finds, fetches, unpacks. Fails with [`Missing`] where this machine cannot.
pub fn all(cache: &Path) -> Result<Packages> {
    let qemu = qemu()?;
    let kernel = match cached(cache, KERNEL) {
        Some(kernel) => kernel,
        None => fetch(cache, KERNEL, &newest_kernel()?)?,
    };
    let get = |name| cached(cache, name).map_or_else(|| fetch(cache, name, name), Ok);
    Ok(Packages { kernel, busybox: get(BUSYBOX)?, drbd: get(DRBD)?, qemu })
}

/// A command's stdout, if it succeeds.
fn said(program: &str, args: &[&str]) -> Result<String> {
    let out = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if !out.status.success() {
        let why = String::from_utf8_lossy(&out.stderr);
        bail!("{program} {}: {}", args.join(" "), why.trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The version of the QEMU that is there. One that is missing is installed where that is allowed.
fn qemu() -> Result<String> {
    let version = || said(QEMU.1, &["--version"]);
    let text = version().or_else(|_| {
        install_qemu().and_then(|()| version()).map_err(|error| {
            Missing(format!("{} is not installed: install the package {}", QEMU.1, QEMU.0))
                .because(&error)
        })
    })?;
    let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1);
    Ok(version.unwrap_or("unknown").to_owned())
}

impl Missing {
    /// Details go to stderr: the reason itself is one that can be listed.
    fn because(self, error: &anyhow::Error) -> Missing {
        eprintln!("{error:#}");
        self
    }
}

/// Installs QEMU, as root. `qemu-utils` of another suite would be removed silently by this: it is
/// asked for in the suite of the emulator, and nothing else may go.
fn install_qemu() -> Result<()> {
    if said("id", &["-u"])?.trim() != "0" {
        bail!("only root may install packages");
    }
    let utils = said("dpkg-query", &["-W", "-f=${db:Status-Status}", "qemu-utils"]);
    let mut attempts = vec![vec![QEMU.0.to_owned()]];
    if utils.is_ok_and(|status| status == "installed") {
        let suite = said("sh", &["-c", ". /etc/os-release; echo $VERSION_CODENAME"])?;
        let both = ["qemu-utils", QEMU.0].map(|name| format!("{name}/{}", suite.trim()));
        attempts.push([vec!["--allow-downgrades".to_owned()], both.to_vec()].concat());
    }
    let mut result = Ok(());
    for names in attempts {
        let mut args = vec!["install", "-y", "--no-install-recommends", "--no-remove"];
        args.extend(names.iter().map(String::as_str));
        result = said("apt-get", &args).map(|_| ());
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The package that `KERNEL` stands for.
fn newest_kernel() -> Result<String> {
    let lacks = |error: anyhow::Error| {
        Missing(format!("apt knows no package {KERNEL}: this is no Debian, or it has no lists"))
            .because(&error)
    };
    let text = said("apt-cache", &["depends", KERNEL]).map_err(lacks)?;
    let depends = text.lines().find_map(|line| line.trim().strip_prefix("Depends: linux-image"));
    let Some(rest) = depends else {
        return Err(lacks(anyhow::anyhow!("apt-cache depends {KERNEL} says:\n{text}")).into());
    };
    Ok(format!("linux-image{rest}"))
}

fn place(cache: &Path, name: &str) -> PathBuf {
    cache.join("packages").join(name)
}

fn cached(cache: &Path, name: &str) -> Option<Package> {
    let root = place(cache, name);
    let version = std::fs::read_to_string(root.with_extension("version")).ok()?;
    Some(Package { version: version.trim().to_owned(), root })
}

/// Downloads a package and unpacks it; `name` is where it goes.
fn fetch(cache: &Path, name: &str, package: &str) -> Result<Package> {
    let root = place(cache, name);
    let folder = root.with_extension("download");
    let _ = std::fs::remove_dir_all(&folder);
    let _ = std::fs::remove_dir_all(&root);
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let download = || {
        let mut command = Command::new("apt-get");
        command.args(["-q", "download", package]).current_dir(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()
    };
    let mut good = download().is_ok_and(|status| status.success());
    if !good && said("apt-get", &["-q", "update"]).is_ok() {
        // Lists that are older than a point release name files that are gone.
        good = download().is_ok_and(|status| status.success());
    }
    if !good {
        eprintln!("apt-get download {package} fails");
        return Err(Missing("`apt-get download` fails here".to_owned()).into());
    }
    let deb = std::fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).next();
    let deb = deb.with_context(|| format!("apt-get download {package} left no file"))?;
    let deb = deb.to_string_lossy().into_owned();
    said("dpkg-deb", &["-x", &deb, &root.to_string_lossy()])?;
    let version = said("dpkg-deb", &["-f", &deb, "Version"])?.trim().to_owned();
    std::fs::write(root.with_extension("version"), &version)?;
    let _ = std::fs::remove_dir_all(&folder);
    Ok(Package { version, root })
}

/// The commands that [`all`] would give, for `--plan`.
pub fn plan() -> Vec<String> {
    let install = format!("apt-get install -y --no-install-recommends --no-remove {}", QEMU.0);
    let mut lines = vec![
        format!("{} --version || {install}", QEMU.1),
        format!("apt-cache depends {KERNEL}    # names the package of the newest kernel: KERNEL"),
    ];
    for (place, package) in [(KERNEL, "KERNEL"), (BUSYBOX, BUSYBOX), (DRBD, DRBD)] {
        lines.push(format!("apt-get -q download {package}"));
        lines.push(format!("dpkg-deb -x {package}_*.deb CACHE/packages/{place}"));
    }
    lines
}
