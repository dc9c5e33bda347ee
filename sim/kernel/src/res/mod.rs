//! `.res` files: what drbdadm reads, and what it prints of them.

mod check;
mod dump;
mod lexer;
mod linstor;
mod options;
mod parse;
mod tree;

pub use dump::{dump, dump_all};
pub use linstor::{ResFile, ResHost, res_file};
pub use options::Section;
pub(crate) use options::{check, find, number, place};
pub use parse::{Error, Files, parse};
pub use tree::{
    Address, Config, Connection, End, Host, Mesh, MetaDisk, Opt, Resource, Sections, Volume,
};
