//! A run as data: what a scenario file says and what a seed draws, in one type.
//!
//! [`read`] turns a TOML file into a [`Scenario`] or an [`Error`] that names line, column and
//! remedy; [`write`] turns any scenario (a drawn plan, say) into such a file; [`validate`] bounds
//! everything that a run would allocate. [`BUILTIN`] holds the files of this repository.

mod builtin;
mod condition;
mod cursor;
mod error;
mod limits;
mod options;
mod read;
mod read_condition;
mod read_expect;
mod read_step;
mod scenario;
mod schema;
mod units;
mod validate;
mod validate_step;
mod vary;
mod write;
mod write_condition;
mod write_step;

pub use builtin::{BUILTIN, Builtin, glob_matches};
pub use condition::*;
pub use error::{Error, nearest};
pub use limits::*;
pub use options::OPTIONS;
pub use read::read;
pub use scenario::*;
pub use schema::{json_schema, reference};
pub use units::{duration as format_duration, parse_duration};
pub use validate::{Invalid, validate};
pub use vary::{Setting, read_with, varied};
pub use write::{write, write_with_comment};
pub use write_condition::facts as describe;
pub use write_step::describe as describe_step;
