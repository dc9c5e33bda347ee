//! `sim bench`: how fast the simulator is.

/// `sim bench`
pub fn main() -> u8 {
    eprintln!("error: nothing to measure yet");
    1
}
