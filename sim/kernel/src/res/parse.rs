//! From the words of `.res` files to what they say. Errors are what drbdadm prints.

use super::lexer::{Kind, Token, words};
use super::options::{Known, Section, Takes, check, find};
use super::tree::{
    Address, Config, Connection, End, Host, Mesh, MetaDisk, Opt, Resource, Sections, Volume,
};
use std::collections::BTreeMap;

/// Files by absolute path.
pub type Files = BTreeMap<String, String>;

/// Why files cannot be used: the lines that drbdadm prints on stderr before it exits with 10.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Error(pub String);

pub(super) type Parsed<T> = Result<T, Error>;

/// `include` within `include` goes no deeper.
const DEPTH: usize = 10;

const TOP: &str = "global | common | resource | skip | include |\n\
                   \trequire-drbd-module-version-{eq,ne,gt,ge,lt,le}";
const IN_RESOURCE: &str = "protocol | on | disk | net | syncer | startup | handlers | connection \
                           | ignore-on | stacked-on-top-of | skip";
const IN_HOST: &str = "disk | device | address | meta-disk | flexible-meta-disk | node-id | skip";
const IN_VOLUME: &str = "device | disk | meta-disk | flex-meta-disk | }";
const HANDLERS: &str = "pri-on-incon-degr | pri-lost-after-sb | pri-lost | initial-split-brain \
                        | split-brain | outdate-peer | fence-peer | unfence-peer | local-io-error \
                        | before-resync-target | after-resync-target | before-resync-source \
                        | out-of-sync | quorum-lost | disconnected";

/// Reads a file and what it includes.
///
/// # Errors
///
/// What drbdadm would print.
pub fn parse(files: &Files, path: &str) -> Parsed<Config> {
    let mut config = Config { file: path.to_owned(), ..Config::default() };
    let Some(text) = files.get(path) else {
        return Err(Error(format!("Can not open '{path}'\n.\n")));
    };
    let base = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let reader = Reader { files, base };
    reader.file(path, path, text, 0, &mut config)?;
    super::check::check(&config)?;
    Ok(config)
}

struct Reader<'a> {
    files: &'a Files,
    /// Where relative paths begin.
    base: &'a str,
}

impl Reader<'_> {
    fn file(
        &self,
        shown: &str,
        path: &str,
        text: &str,
        depth: usize,
        config: &mut Config,
    ) -> Parsed<()> {
        let mut parser = Parser { shown, path, words: words(text), at: 0 };
        loop {
            let token = parser.next();
            match token.text.as_str() {
                _ if token.kind == Kind::End => {
                    config.last_line = token.line;
                    return Ok(());
                }
                "global" => config.global = Some(parser.global()?),
                "common" => {
                    parser.expect("{")?;
                    let mut sections = Sections::default();
                    parser.sections_only(&mut sections, "common")?;
                    config.common = Some(sections);
                }
                "resource" => {
                    let resource = parser.resource(token.line)?;
                    if let Some(first) = config.resource(&resource.name) {
                        let what = format!("resource section '{}'", resource.name);
                        return Err(parser.twice(&what, token.line, first.line));
                    }
                    config.resources.push(resource);
                }
                "skip" => parser.skip()?,
                "include" => self.include(&mut parser, depth, config)?,
                _ => return Err(parser.expected(TOP, &token)),
            }
        }
    }

    fn include(&self, parser: &mut Parser, depth: usize, config: &mut Config) -> Parsed<()> {
        let token = parser.text()?;
        parser.expect(";")?;
        let shown = token.text.as_str();
        let full = match shown.starts_with('/') {
            true => shown.to_owned(),
            false => format!("{}/{shown}", self.base),
        };
        let place = format!("{}:{}", parser.path, token.line);
        if depth >= DEPTH {
            return Err(Error(format!("{place}: Include depth exceeded.\n")));
        }
        let found: Vec<&String> = self.files.keys().filter(|path| matches(&full, path)).collect();
        if found.is_empty() && !full.contains(['*', '?']) {
            return Err(Error(format!("{place}: Failed to open include file '{shown}'.\n")));
        }
        for path in found {
            let cut = if shown.starts_with('/') { 0 } else { self.base.len() + 1 };
            let shown = path.get(cut..).unwrap_or(path);
            self.file(shown, path, &self.files[path], depth + 1, config)?;
        }
        Ok(())
    }
}

/// Does a path fit a pattern? `*` and `?` do not cross a `/`.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.as_bytes(), path.as_bytes());
    let (mut p, mut at) = (0, 0);
    // The last star, and where it began to match.
    let mut star: Option<(usize, usize)> = None;
    while at < path.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, at));
                p += 1;
            }
            Some(b'?') if path[at] != b'/' => (p, at) = (p + 1, at + 1),
            Some(c) if *c == path[at] => (p, at) = (p + 1, at + 1),
            _ => match star {
                Some((before, from)) if path[from] != b'/' => {
                    star = Some((before, from + 1));
                    (p, at) = (before + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

struct Parser<'a> {
    /// As errors name the file.
    shown: &'a str,
    path: &'a str,
    words: Vec<Token>,
    at: usize,
}

impl Parser<'_> {
    fn peek(&self) -> &Token {
        // The end is never passed.
        &self.words[self.at]
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at = (self.at + 1).min(self.words.len() - 1);
        token
    }

    fn wrong(&self, line: u32, what: &str) -> Error {
        Error(format!("{}:{line}: {what}\n", self.shown))
    }

    fn expected(&self, what: &str, got: &Token) -> Error {
        let text = format!("Parse error: '{what}' expected,\n\tbut got '{}'", got.text);
        self.wrong(got.line, &text)
    }

    fn expected_token(&self, what: &str, got: &Token) -> Error {
        let text = format!("Parse error: '{what}' expected,\n\tbut got {}", got.shown());
        self.wrong(got.line, &text)
    }

    fn twice(&self, what: &str, line: u32, first: u32) -> Error {
        let file = self.shown;
        Error(format!(
            "{file}:{line}: conflicting use of {what} ...\n{file}:{first}: {what} first used here.\n"
        ))
    }

    fn expect(&mut self, mark: &str) -> Parsed<()> {
        let token = self.next();
        if token.is(mark) { Ok(()) } else { Err(self.expected_token(mark, &token)) }
    }

    fn text(&mut self) -> Parsed<Token> {
        let token = self.next();
        if token.is_text() { Ok(token) } else { Err(self.expected_token("TK_STRING", &token)) }
    }

    fn integer(&mut self) -> Parsed<(u64, Token)> {
        let token = self.next();
        match token.text.parse() {
            Ok(number) if token.kind == Kind::Word => Ok((number, token)),
            _ => Err(self.expected_token("TK_INTEGER", &token)),
        }
    }

    fn bounded(&mut self, what: &str, low: u64, high: u64) -> Parsed<u64> {
        let (number, token) = self.integer()?;
        if (low..=high).contains(&number) {
            return Ok(number);
        }
        let text = format!("{what} {} => {number} out of range [{low}..{high}].", token.text);
        Err(self.wrong(token.line, &text))
    }

    /// Leaves out a section and what it holds.
    fn skip(&mut self) -> Parsed<()> {
        loop {
            let token = self.next();
            if token.is(";") {
                return Ok(());
            }
            if token.is("{") {
                break;
            }
            if token.kind == Kind::End {
                return Err(self.expected_token("{", &token));
            }
        }
        let mut depth = 1;
        while depth > 0 {
            let token = self.next();
            if token.kind == Kind::End {
                return Err(self.expected_token("}", &token));
            }
            depth += usize::from(token.is("{"));
            depth -= usize::from(token.is("}"));
        }
        Ok(())
    }

    fn global(&mut self) -> Parsed<Vec<Opt>> {
        self.expect("{")?;
        let mut all = Vec::new();
        loop {
            let token = self.next();
            let value = match token.text.as_str() {
                _ if token.is("}") => return Ok(all),
                "udev-always-use-vnr" | "disable-ip-verification" => None,
                "usage-count" | "cmd-timeout-short" | "cmd-timeout-medium" | "cmd-timeout-long"
                | "minor-count" | "dialog-refresh" => Some(self.text()?.text),
                _ => {
                    let known = "dialog-refresh | minor-count | disable-ip-verification";
                    return Err(self.expected(known, &token));
                }
            };
            self.expect(";")?;
            all.push(Opt { name: token.text, value });
        }
    }

    /// A section of options, its keyword read already.
    fn section(&mut self, section: Section, of: &str, into: &mut Sections) -> Parsed<()> {
        let line = self.peek().line;
        if let Some((first, _)) = into.all.get(&section) {
            let what = format!("{0} section '{of}:{0}'", section.keyword());
            return Err(self.twice(&what, line, *first));
        }
        self.expect("{")?;
        let mut all = Vec::new();
        loop {
            let token = self.next();
            if token.is("}") {
                break;
            }
            let known = find(section, &token.text).filter(|_| token.is_text());
            let Some(known) = known else {
                let wanted =
                    if section == Section::Handlers { HANDLERS } else { "an option keyword" };
                return Err(self.expected(wanted, &token));
            };
            all.push(self.option(known)?);
        }
        // What belongs towards a peer comes behind what belongs to the volume.
        all.sort_by_key(|opt: &Opt| find(section, &opt.name).is_some_and(|k| k.of_peer_device));
        into.all.insert(section, (line, all));
        Ok(())
    }

    fn option(&mut self, known: Known) -> Parsed<Opt> {
        let name = known.name.to_owned();
        if self.peek().is(";") {
            self.next();
            let value = (known.takes == Takes::Flag).then(|| "yes".to_owned());
            return Ok(Opt { name, value });
        }
        let token = self.next();
        if !token.is_text() && token.kind != Kind::Stray {
            return Err(self.expected_token("TK_STRING", &token));
        }
        let value = match known.name {
            "protocol" => token.text.to_uppercase(),
            _ => token.text.clone(),
        };
        if let Err(why) = check(known.takes, Some(&value)) {
            let text =
                format!("Parse error: while parsing value ('{}')\nfor {name}. {why}", token.text);
            return Err(self.wrong(token.line, &text));
        }
        self.expect(";")?;
        Ok(Opt { name, value: Some(token.text) })
    }

    fn sections_only(&mut self, into: &mut Sections, of: &str) -> Parsed<()> {
        loop {
            let token = self.next();
            if token.is("}") {
                return Ok(());
            }
            match Section::named(&token.text) {
                Some(section) => self.section(section, of, into)?,
                None => return Err(self.expected_token(IN_RESOURCE, &token)),
            }
        }
    }

    fn resource(&mut self, line: u32) -> Parsed<Resource> {
        let name = self.text()?.text;
        self.expect("{")?;
        let mut resource = Resource {
            name,
            file: self.path.to_owned(),
            line,
            volumes: Vec::new(),
            hosts: Vec::new(),
            connections: Vec::new(),
            meshes: Vec::new(),
            sections: Sections::default(),
        };
        loop {
            let token = self.next();
            if token.is("}") || token.kind == Kind::End {
                return Ok(resource);
            }
            self.in_resource(&token, &mut resource)?;
        }
    }

    fn in_resource(&mut self, token: &Token, resource: &mut Resource) -> Parsed<()> {
        let of = resource.name.clone();
        match token.text.as_str() {
            "on" | "floating" => {
                let host = self.host(token, &of)?;
                self.unlike_others(&host, resource)?;
                resource.hosts.push(host);
            }
            "connection" => {
                let connection = self.connection(token.line, &of)?;
                resource.connections.push(connection);
            }
            "connection-mesh" => {
                let mesh = self.mesh(token.line, &of)?;
                resource.meshes.push(mesh);
            }
            "disk" if self.peek().is_text() => self.volume_line(token, &mut resource.volumes)?,
            "device" | "meta-disk" | "flexible-meta-disk" => {
                self.volume_line(token, &mut resource.volumes)?;
            }
            "volume" => self.volume(&mut resource.volumes, &of)?,
            "skip" => self.skip()?,
            "template-file" => {
                let file = self.text()?;
                let text = format!("Failed to open template file '{}'.", file.text);
                let place = format!("{}:{}", self.path, file.line);
                return Err(Error(format!("{place}: {text}\n")));
            }
            word => match Section::named(word) {
                Some(section) => self.section(section, &of, &mut resource.sections)?,
                None => return Err(self.expected_token(IN_RESOURCE, token)),
            },
        }
        Ok(())
    }

    /// No host and no node id twice.
    fn unlike_others(&self, host: &Host, resource: &Resource) -> Parsed<()> {
        let of = &resource.name;
        for other in &resource.hosts {
            if let Some(name) = host.names.iter().find(|name| other.names.contains(name)) {
                let what = format!("host section '{of}: on {name}'");
                return Err(self.twice(&what, host.line, other.line));
            }
            if let Some(node) = host.node.filter(|_| host.node == other.node) {
                let what = format!("node-id '{of}:{node}'");
                return Err(self.twice(&what, host.line, other.line));
            }
        }
        Ok(())
    }

    fn host(&mut self, keyword: &Token, of: &str) -> Parsed<Host> {
        let mut host = Host {
            names: Vec::new(),
            floating: keyword.text == "floating",
            node: None,
            address: None,
            volumes: Vec::new(),
            line: keyword.line,
        };
        if host.floating {
            host.address = Some(self.address()?);
        } else {
            host.names.push(self.text()?.text);
            while self.peek().is_text() {
                host.names.push(self.next().text);
            }
        }
        self.expect("{")?;
        loop {
            let token = self.next();
            match token.text.as_str() {
                _ if token.is("}") => return Ok(host),
                "node-id" => {
                    let node = self.bounded("node-id", 0, 31)?;
                    self.expect(";")?;
                    if host.node.is_some() {
                        let what = format!("node-id statement '{of}:{}:node-id'", host.name());
                        return Err(self.twice(&what, token.line, token.line));
                    }
                    host.node = Some(node as u8);
                }
                "address" if !host.floating => {
                    host.address = Some(self.address()?);
                    self.expect(";")?;
                }
                "disk" if self.peek().is("{") => {
                    let volume = implicit(&mut host.volumes);
                    self.section(Section::Disk, of, &mut volume.options)?;
                }
                "disk" | "device" | "meta-disk" | "flexible-meta-disk" => {
                    self.volume_line(&token, &mut host.volumes)?;
                }
                "volume" => self.volume(&mut host.volumes, of)?,
                "skip" => self.skip()?,
                "options" => {
                    let mut unused = Sections::default();
                    self.section(Section::Options, of, &mut unused)?;
                }
                _ => return Err(self.expected(IN_HOST, &token)),
            }
        }
    }

    /// `volume N { … }`.
    fn volume(&mut self, into: &mut Vec<Volume>, of: &str) -> Parsed<()> {
        let number = self.bounded("volume", 0, 65_534)? as u16;
        self.expect("{")?;
        let mut volume = Volume { number, explicit: true, ..Volume::default() };
        loop {
            let token = self.next();
            match token.text.as_str() {
                _ if token.is("}") => break,
                "disk" if self.peek().is("{") => {
                    self.section(Section::Disk, of, &mut volume.options)?;
                }
                "disk" | "device" | "meta-disk" | "flexible-meta-disk" | "flex-meta-disk" => {
                    self.of_volume(&token, &mut volume)?;
                }
                "skip" => self.skip()?,
                _ => return Err(self.expected_token(IN_VOLUME, &token)),
            }
        }
        match into.iter_mut().find(|other| other.number == number) {
            Some(other) => *other = volume,
            None => into.push(volume),
        }
        into.sort_by_key(|volume| volume.number);
        Ok(())
    }

    /// A line of volume 0 that stands outside of a `volume` section.
    fn volume_line(&mut self, token: &Token, into: &mut Vec<Volume>) -> Parsed<()> {
        self.of_volume(token, implicit(into))
    }

    fn of_volume(&mut self, token: &Token, volume: &mut Volume) -> Parsed<()> {
        match token.text.as_str() {
            "disk" => volume.disk = Some(self.text()?.text),
            "device" => self.device(volume)?,
            _ => {
                let device = self.text()?.text;
                volume.meta_disk = Some(match device.as_str() {
                    "internal" => MetaDisk::Internal,
                    _ if self.peek().is("[") => {
                        self.next();
                        let index = self.bounded("meta-disk index", 0, u32::MAX.into())? as u32;
                        self.expect("]")?;
                        MetaDisk::Indexed(device, index)
                    }
                    _ => MetaDisk::Device(device),
                });
            }
        }
        self.expect(";")
    }

    fn device(&mut self, volume: &mut Volume) -> Parsed<()> {
        let first = self.text()?;
        if first.text != "minor" {
            let bare = first.text.strip_prefix("/dev/").unwrap_or(&first.text);
            let Some(number) = bare.strip_prefix("drbd") else {
                let text = "device name must start with /dev/drbd\n\
                            \t(/dev/ is optional, but drbd is required)";
                return Err(self.wrong(first.line, text));
            };
            volume.device = Some(format!("/dev/{bare}"));
            volume.minor = number.parse().ok();
            if !self.peek().is_text() {
                return Ok(());
            }
            self.next();
        }
        volume.minor = Some(self.bounded("minor", 0, 1_048_575)? as u32);
        Ok(())
    }

    fn address(&mut self) -> Parsed<Address> {
        let token = self.next();
        let begins = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
        let (family, word) = match token.text.as_str() {
            "ipv4" | "ssocks" | "sdp" => (token.text.clone(), self.next()),
            "ipv6" => {
                self.expect("[")?;
                let mut word = self.next();
                self.expect("]")?;
                word.text = format!("{}{}", word.text, self.next().text);
                ("ipv6".to_owned(), word)
            }
            text if begins(text) => ("ipv4".to_owned(), token),
            _ => {
                let known = "ssocks | sdp | ipv4 | ipv6 | <ipv4 address> ";
                return Err(self.expected(known, &token));
            }
        };
        let Some((host, port)) = word.text.rsplit_once(':') else {
            let got = self.peek().clone();
            return Err(self.expected_token(":", &got));
        };
        let number: u64 = port.parse().unwrap_or(u64::MAX);
        match u16::try_from(number).ok().filter(|port| *port > 0) {
            Some(port) => Ok(Address { family, host: host.to_owned(), port }),
            None => {
                let text = format!("port {port} => {port} out of range [1..65535].");
                Err(self.wrong(word.line, &text))
            }
        }
    }

    fn end(&mut self) -> Parsed<End> {
        let host = self.text()?.text;
        let address = match self.peek().text.as_str() {
            "address" => {
                self.next();
                Some(self.address()?)
            }
            _ => None,
        };
        self.expect(";")?;
        Ok(End { host, address })
    }

    fn connection(&mut self, line: u32, of: &str) -> Parsed<Connection> {
        let mut connection = Connection {
            name: None,
            paths: Vec::new(),
            explicit_paths: false,
            sections: Sections::default(),
            volumes: Vec::new(),
            line,
        };
        if self.peek().is_text() {
            connection.name = Some(self.next().text);
        }
        self.expect("{")?;
        let mut ends = Vec::new();
        loop {
            let token = self.next();
            match token.text.as_str() {
                _ if token.is("}") => break,
                "host" => ends.push(self.end()?),
                "path" => {
                    connection.explicit_paths = true;
                    let path = self.path_section()?;
                    connection.paths.push(path);
                }
                "net" => self.section(Section::Net, of, &mut connection.sections)?,
                "disk" => self.section(Section::Disk, of, &mut connection.sections)?,
                "volume" => {
                    let number = self.bounded("volume", 0, 65_534)? as u16;
                    self.expect("{")?;
                    let mut sections = Sections::default();
                    self.sections_only(&mut sections, of)?;
                    connection.volumes.push((number, sections));
                }
                "skip" => self.skip()?,
                _ => return Err(self.expected_token("host | net | skip | }", &token)),
            }
        }
        if !ends.is_empty() {
            connection.explicit_paths = false;
            connection.paths = vec![ends];
        }
        Ok(connection)
    }

    fn path_section(&mut self) -> Parsed<Vec<End>> {
        self.expect("{")?;
        let mut ends = Vec::new();
        loop {
            let token = self.next();
            match token.text.as_str() {
                _ if token.is("}") => return Ok(ends),
                "host" => ends.push(self.end()?),
                _ => return Err(self.expected_token("host | }", &token)),
            }
        }
    }

    fn mesh(&mut self, line: u32, of: &str) -> Parsed<Mesh> {
        self.expect("{")?;
        let mut mesh = Mesh { hosts: Vec::new(), sections: Sections::default(), line };
        loop {
            let token = self.next();
            match token.text.as_str() {
                _ if token.is("}") => return Ok(mesh),
                "hosts" => {
                    while self.peek().is_text() {
                        mesh.hosts.push(self.next().text);
                    }
                    self.expect(";")?;
                }
                "net" => self.section(Section::Net, of, &mut mesh.sections)?,
                _ => return Err(self.expected_token("hosts | net | }", &token)),
            }
        }
    }
}

/// Volume 0 of a host that has no `volume` sections.
fn implicit(volumes: &mut Vec<Volume>) -> &mut Volume {
    if !volumes.iter().any(|volume| volume.number == 0) {
        volumes.insert(0, Volume::default());
    }
    &mut volumes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_do_not_cross_folders() {
        assert!(matches("/etc/drbd.d/*.res", "/etc/drbd.d/vol-a.res"));
        assert!(!matches("/etc/drbd.d/*.res", "/etc/drbd.d/old/vol-a.res"));
        assert!(!matches("/etc/drbd.d/*.res", "/etc/drbd.d/vol-a.res.tmp"));
        assert!(matches("/etc/*/vol-?.res", "/etc/drbd.d/vol-a.res"));
        assert!(matches("/etc/drbd.conf", "/etc/drbd.conf"));
        assert!(!matches("/etc/drbd.conf*x", "/etc/drbd.conf"));
    }
}
