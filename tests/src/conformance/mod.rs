//! The door's conformance cases, in the world this was built for.

#[cfg(not(madsim))]
mod real;
mod report;
#[cfg(madsim)]
mod sim;

pub use report::Report;

#[cfg(not(madsim))]
pub use real::run;
#[cfg(madsim)]
pub use sim::run;
