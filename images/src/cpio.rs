//! An initramfs archive: cpio in the `newc` format, which the kernel unpacks.

/// An archive under way. Parents have to be added before what is in them.
#[derive(Default)]
pub struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

impl Archive {
    /// A folder; `path` without a slash in front.
    pub fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, &[]);
    }

    /// A file, which may be executed.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.entry(path, PROGRAM, contents);
    }

    /// A symbolic link.
    pub fn link(&mut self, path: &str, to: &str) {
        self.entry(path, LINK, to.as_bytes());
    }

    /// The finished archive.
    pub fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// Magic, then 13 fields of 8 hex digits: inode, mode, owner, group, links, time, size, four
    /// device numbers, length of the name with its NUL, checksum.
    fn entry(&mut self, path: &str, mode: u32, contents: &[u8]) {
        self.entries += 1;
        let (size, name) = (contents.len(), path.len() + 1);
        let fields =
            [self.entries, mode, 0, 0, 1, 0, size as u32, 0, 0, 0, 0, name as u32, 0].into_iter();
        self.bytes.extend_from_slice(b"070701");
        fields.for_each(|field| self.bytes.extend_from_slice(format!("{field:08x}").as_bytes()));
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_cpio_writes() {
        let mut archive = Archive::default();
        archive.folder("bin");
        archive.file("bin/x", b"hello");
        archive.link("init", "bin/x");
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        // Inode 1, a folder that its owner may write.
        assert!(text.starts_with("07070100000001000041ed0000000000000000"), "{text}");
        assert!(text.contains("bin/x\0hello\0\0\0"), "{text:?}");
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
        assert_eq!(bytes.len() % 4, 0);
    }
}
