//! sim/models
