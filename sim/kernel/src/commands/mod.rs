//! Commands of the modelled kernel: `drbdadm`, `drbdsetup`, `drbdmeta`. Everything here is pure;
//! [`crate::Host`] runs it.

pub(crate) mod args;
mod calls;
pub(crate) mod drbdadm;
mod dry;
pub(crate) mod dump_md;
pub(crate) mod events2;
pub(crate) mod gi;
pub(crate) mod json;
pub(crate) mod shape;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod texts;
pub(crate) mod view;
mod words;

pub use dry::{Said, drbdadm as dry_drbdadm};
pub use words::split;
