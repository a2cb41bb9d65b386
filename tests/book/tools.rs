//! Programs that a page types, and that not every machine has.

use std::path::Path;

use kiste_tests::host::{has, package_of};

use super::host::{Host, Verdict};
use super::pages::Page;
use super::transcript::{self, Block, Input};

/// What the book types and Debian's essential packages lack.
const TOOLS: [&str; 18] = [
    "busybox", "curl", "free", "getcap", "ip", "mount", "nc", "nft", "ping", "podman",
    "ps", "setcap", "setfattr", "skopeo", "strace", "top", "umoci", "umount",
];

/// Why the page cannot be played here: its later blocks build on the earlier ones, so
/// that a program which is missing is missed in all of it. A block that names its
/// program (`tool=`) can be spared.
pub fn missing(page: &Page, host: &Host) -> Option<String> {
    let blocks = transcript::blocks(page).ok()?;
    let played = blocks.iter().filter(|block| host.verdict(block) == Verdict::Play);
    let tool = played.flat_map(typed).find(|tool| !is_here(tool))?;
    Some(format!("{tool} is not installed (the package {})", package_of(tool)))
}

fn typed(block: &Block) -> Vec<&'static str> {
    let commands = block.parts.iter().filter_map(|part| match &part.input {
        Input::Command(_, command) => Some(command),
        Input::Key(_) => None,
    });
    let mut tools = Vec::new();
    for command in commands {
        let words = command.split(|ch: char| ch.is_whitespace() || ";|&()'\"`$".contains(ch));
        let words: Vec<_> = words.collect();
        let is_typed = |tool: &&&str| words.contains(*tool) && block.tool.as_deref() != Some(tool);
        tools.extend(TOOLS.iter().filter(is_typed));
    }
    tools
}

/// Root's programs, too: the page becomes root where it needs to.
fn is_here(tool: &str) -> bool {
    has(tool) || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists())
}
