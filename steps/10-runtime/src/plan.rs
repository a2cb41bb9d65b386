//! The plan of a container, made from its config.json: one file for each section.

mod cgroup;
mod resources;
