//! Arguments of `drbdsetup` and `drbdmeta`: options apart from the rest.

use super::view::Options;

/// Options and what is left, in order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Args {
    pub options: Options,
    pub rest: Vec<String>,
}

/// Options that take the next word as their value when they have none.
const VALUED: &[&str] = &[
    "wfc-timeout",
    "degr-wfc-timeout",
    "outdated-wfc-timeout",
    "node-id",
    "size",
    "_name",
    "rcvbuf",
];

impl Args {
    pub fn of(words: &[String]) -> Args {
        let mut args = Args::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--").filter(|option| !option.is_empty()) else {
                match word.as_str() {
                    "--" => {}
                    "-v" => args.options.push(("verbose".to_owned(), "yes".to_owned())),
                    "-s" => args.options.push(("statistics".to_owned(), "yes".to_owned())),
                    "-f" => args.options.push(("force".to_owned(), "yes".to_owned())),
                    _ => args.rest.push(word.clone()),
                }
                continue;
            };
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None if VALUED.contains(&option) => {
                    (option, words.next().cloned().unwrap_or_default())
                }
                None => (option, "yes".to_owned()),
            };
            args.options.push((name.to_owned(), value));
        }
        args
    }

    pub fn option(&self, name: &str) -> Option<&str> {
        let found = self.options.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// A flag that was given and not with `no`.
    pub fn has(&self, name: &str) -> bool {
        self.option(name).is_some_and(|value| value != "no")
    }

    pub fn word(&self, at: usize) -> &str {
        self.rest.get(at).map_or("", String::as_str)
    }

    pub fn number<N: std::str::FromStr>(&self, at: usize) -> Option<N> {
        self.word(at).parse().ok()
    }
}

/// `ipv4:10.0.0.1:7000`, `10.0.0.1:7000` or `ipv6:[fd00::1]:7000`.
pub(crate) fn address(text: &str) -> Option<std::net::SocketAddr> {
    let bare = text.strip_prefix("ipv4:").or_else(|| text.strip_prefix("ipv6:")).unwrap_or(text);
    bare.parse().ok()
}
