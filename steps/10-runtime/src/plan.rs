//! The plan of a container, made from its config.json: one file for each section.

mod devices;
mod mounts;
mod root;
