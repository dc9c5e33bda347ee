//! A run as data: what a scenario file says and what a seed draws, in one type.
//!
//! [`read`] turns a TOML file into a [`Scenario`] or an [`Error`] that names line, column and
//! remedy; [`write`] turns any scenario (a drawn plan, say) into such a file; [`validate`] bounds
//! everything that a run would allocate. [`BUILTIN`] holds the files of this repository.

mod builtin;
mod cursor;
mod error;
mod limits;
mod options;
mod read;
mod read_step;
mod scenario;
mod units;
mod validate;
mod write;

pub use builtin::{BUILTIN, Builtin, glob_matches};
pub use error::{Error, nearest};
pub use limits::*;
pub use options::OPTIONS;
pub use read::read;
pub use scenario::*;
pub use units::{duration as format_duration, parse_duration};
pub use validate::{Invalid, validate};
pub use write::write;
