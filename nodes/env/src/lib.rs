//! nodes/env
