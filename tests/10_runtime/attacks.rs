//! Attacks on low-level runtimes that worked once, each tried for real.
