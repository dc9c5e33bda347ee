//! sim/kernel
