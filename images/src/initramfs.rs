//! The root of a guest, in memory: busybox, DRBD's tools, the modules that they need, and this very
//! binary as the agent. Nothing of a distribution's start-up: a guest is there in three seconds.

use crate::cpio::Archive;
use crate::packages::Packages;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules that a guest loads; what they depend on comes along.
const MODULES: [&str; 6] =
    ["virtio_pci", "virtio_blk", "virtio_net", "virtio_console", "crc32c-intel", "drbd"];
/// Files of drbd-utils, as they are called in a guest. The tools of the 8.4 module are started by
/// those of 9.
const TOOLS: [&str; 6] = [
    "usr/sbin/drbdadm",
    "usr/sbin/drbdsetup",
    "usr/sbin/drbdmeta",
    "lib/drbd/drbdadm-84",
    "lib/drbd/drbdsetup-84",
    "lib/drbd/drbdadm-83",
];
/// Where Debian may have put what is asked for above.
const ELSEWHERE: [(&str, &str); 2] = [("usr/sbin/", "sbin/"), ("lib/", "usr/lib/")];
/// Programs of busybox that scripts use.
const APPLETS: [&str; 22] = [
    "cat", "cut", "dd", "dmesg", "echo", "false", "grep", "head", "hostname", "insmod", "ip", "ls",
    "mkdir", "mount", "printf", "sed", "sh", "sleep", "sync", "tail", "true", "uname",
];
/// Folders, parents first.
const FOLDERS: [&str; 19] = [
    "bin",
    "sbin",
    "dev",
    "etc",
    "lib",
    "lib/drbd",
    "lib64",
    "modules",
    "proc",
    "run",
    "sys",
    "tmp",
    "usr",
    "usr/sbin",
    "var",
    "var/lib",
    "var/lib/drbd",
    "var/lock",
    "images",
];

/// Runs first. The kernel's command line says who the guest is: `guest.host=alpha
/// guest.address=10.9.0.1/24`. DRBD calls its handlers through drbdadm, as on a real host.
const INIT: &str = "#!/bin/sh
export PATH=/bin:/sbin:/usr/sbin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do
    case $word in
        guest.host=*) hostname ${word#*=} ;;
        guest.address=*) address=${word#*=} ;;
    esac
done
for module in $(cat /modules/order); do
    insmod /modules/$module $(cat /modules/$module.options 2>/dev/null)
done
ip link set lo up
ip addr add $address dev eth0
ip link set eth0 up
/images/images agent
echo the agent ended
";

/// `fill` and `handler` of a guest.
const PROGRAMS: [(&str, &str); 2] = [
    ("bin/fill", "#!/bin/sh\nexec /images/images fill \"$@\"\n"),
    ("bin/handler", "#!/bin/sh\nexec /images/images handler \"$@\"\n"),
];

/// Where kernel and root of a guest are.
#[derive(Clone, Debug)]
pub struct Image {
    /// The kernel, as Debian ships it.
    pub kernel: PathBuf,
    /// The archive.
    pub root: PathBuf,
    /// The version that the DRBD module says, e.g. `8.4.11`.
    pub module: String,
}

/// Builds the image below `cache`; `agent` is the binary to put in.
pub fn build(packages: &Packages, agent: &Path, cache: &Path) -> Result<Image> {
    let boot = packages.kernel.root.join("boot");
    let kernel = std::fs::read_dir(&boot)?.flatten().map(|entry| entry.path());
    let kernel = { kernel }
        .find(|path| {
            path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"vmlinuz"))
        })
        .context("the kernel's package has no vmlinuz")?;
    let mut archive = Archive::default();
    FOLDERS.iter().for_each(|folder| archive.folder(folder));
    archive.link("var/run", "/run");
    archive.file("init", INIT.as_bytes());
    PROGRAMS.iter().for_each(|(path, text)| archive.file(path, text.as_bytes()));
    let busybox = ["bin/busybox", "usr/bin/busybox"].map(|it| packages.busybox.root.join(it));
    archive
        .file("bin/busybox", &read(busybox.iter().find(|it| it.exists()).unwrap_or(&busybox[0]))?);
    APPLETS.iter().for_each(|applet| archive.link(&format!("bin/{applet}"), "busybox"));
    let mut libraries = BTreeSet::new();
    archive.file("images/images", &stripped(agent, cache)?);
    libraries.extend(libraries_of(agent)?);
    for tool in TOOLS {
        let Some(path) = find(&packages.drbd.root, tool) else { continue };
        archive.file(tool, &read(&path)?);
        libraries.extend(libraries_of(&path)?);
    }
    add_libraries(&mut archive, &libraries)?;
    let module = add_modules(&mut archive, &packages.kernel.root)?;
    let root = cache.join("guest.cpio");
    // Another process may be starting guests from the old one.
    let fresh = cache.join(format!("guest.cpio.{}", std::process::id()));
    std::fs::write(&fresh, archive.finish()).with_context(|| fresh.display().to_string())?;
    std::fs::rename(&fresh, &root)?;
    Ok(Image { kernel, root, module })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn find(root: &Path, path: &str) -> Option<PathBuf> {
    let moved =
        ELSEWHERE.iter().filter_map(|(from, to)| Some(format!("{to}{}", path.strip_prefix(from)?)));
    std::iter::once(path.to_owned()).chain(moved).map(|it| root.join(it)).find(|it| it.exists())
}

/// The binary without what debuggers read, where there is a `strip`.
fn stripped(agent: &Path, cache: &Path) -> Result<Vec<u8>> {
    let to = cache.join(format!("agent.{}", std::process::id()));
    let status = Command::new("strip").arg("-o").arg(&to).arg(agent).status();
    let bytes = read(if status.is_ok_and(|status| status.success()) { &to } else { agent });
    let _ = std::fs::remove_file(to);
    bytes
}

/// Shared libraries of a program: the absolute paths that the loader names.
fn libraries_of(program: &Path) -> Result<Vec<String>> {
    let out = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(words.map(|word| word.trim_end_matches(':').to_owned()).collect())
}

/// Libraries go where the loader looks: the loader itself to its fixed place, the rest to `/lib`.
fn add_libraries(archive: &mut Archive, libraries: &BTreeSet<String>) -> Result<()> {
    for library in libraries {
        let name = library.rsplit('/').next().unwrap_or(library);
        let place = if name.starts_with("ld-") { "lib64" } else { "lib" };
        archive.file(&format!("{place}/{name}"), &read(Path::new(library))?);
    }
    Ok(())
}

/// The modules in the order to load them, and the version of DRBD's.
fn add_modules(archive: &mut Archive, root: &Path) -> Result<String> {
    let mut files = BTreeMap::new();
    for top in ["lib/modules", "usr/lib/modules"] {
        modules_below(&root.join(top), &mut files);
    }
    let (mut order, mut version) = (Vec::new(), None);
    for name in MODULES {
        load(name, &files, &mut order)?;
    }
    for name in &order {
        let bytes = read(&files[name])?;
        if name == "drbd" {
            version = info(&bytes, "version=");
        }
        archive.file(&format!("modules/{name}"), &bytes);
    }
    archive.file("modules/drbd.options", b"usermode_helper=/usr/sbin/drbdadm");
    archive.file("modules/order", order.join("\n").as_bytes());
    version.context("the drbd module says no version")
}

/// Modules by name, with `_` and `-` as the file has it.
fn modules_below(folder: &Path, files: &mut BTreeMap<String, PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|it| it.path()) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        if path.is_dir() {
            modules_below(&path, files);
        } else if let Some(name) = name.as_deref().and_then(|name| name.strip_suffix(".ko")) {
            files.insert(name.to_owned(), path);
        }
    }
}

/// Adds a module behind those that it depends on. One that the kernel has built in has no file.
fn load(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<String>) -> Result<()> {
    let name = [name.to_owned(), name.replace('_', "-"), name.replace('-', "_")]
        .into_iter()
        .find(|name| files.contains_key(name))
        .with_context(|| format!("the kernel's package has no module {name}"))?;
    if order.contains(&name) {
        return Ok(());
    }
    let depends = info(&read(&files[&name])?, "depends=").unwrap_or_default();
    for other in depends.split(',').filter(|other| !other.is_empty()) {
        load(other, files, order)?;
    }
    order.push(name);
    Ok(())
}

/// A field of a module's `.modinfo`: text between NULs.
fn info(module: &[u8], key: &str) -> Option<String> {
    let key = [b"\0", key.as_bytes()].concat();
    let start = module.windows(key.len()).position(|window| *window == key[..])? + key.len();
    let end = module[start..].iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&module[start..start + end]).into_owned())
}

/// What [`build`] would do, for `--plan`.
pub fn plan() -> Vec<String> {
    vec![
        format!("pack CACHE/guest.cpio: busybox, {}", TOOLS.join(", ")),
        format!("    modules {} and what they depend on", MODULES.join(", ")),
        "    this binary as /images/images, the libraries of all of them".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_say_what_they_need() {
        let module = b"\x7fELF\0version=8.4.11\0depends=lru_cache,libcrc32c\0";
        assert_eq!(info(module, "depends=").as_deref(), Some("lru_cache,libcrc32c"));
        assert_eq!(info(module, "version=").as_deref(), Some("8.4.11"));
        assert_eq!(info(module, "parm="), None);
        assert_eq!(info(b"\0depends=cut off", "depends="), None);
    }
}
