//! The mirrorcode program.

fn main() {}
