//! What tests across crates share: the two worlds that the conformance cases run in.

pub mod conformance;
