//! Programs that pages use and that not every machine or root file system has.

use std::path::Path;

use kiste_tests::host::{has, package_of};

use super::host::{Host, RootAccess, Verdict};
use super::pages::Page;
use super::play::Lane;
use super::stand_in::StandIn;
use super::transcript::{Block, Input, Needs, Prompt};

/// Programs that the book uses on the host, and that Debian's essential packages lack.
const OUTSIDE: [&str; 13] = [
    "curl", "free", "getcap", "ip", "mount", "nft", "ps", "setcap", "setfattr",
    "strace", "top", "umoci", "umount",
];

/// Programs that the book uses in containers, and that copies of the host's own tools
/// lack.
const INSIDE: [&str; 4] = ["busybox", "ip", "nc", "ping"];

/// Why this machine cannot play the page. Its later blocks build on the earlier ones,
/// so a missing program is missing for the whole page; only a block that names its
/// program (`tool=`) can be skipped alone.
pub fn missing(
    page: &Page,
    lane: Lane,
    host: &Host,
    workspace: &Path,
) -> Option<String> {
    let blocks = lane.blocks(page).ok()?;
    let played = blocks.iter().filter(|block| host.verdict(block) == Verdict::Play);
    let played: Vec<_> = played.collect();
    // The player itself mounts a ./rootfs for the ordinary user.
    let is_of_a_user = |block: &&Block| {
        host.root == RootAccess::Already
            && [Needs::User, Needs::Rootless].contains(&block.needs)
    };
    let mounts = StandIn::is_for(page, host)
        || played.iter().copied().any(|block| is_of_a_user(&block));
    let own = (mounts && !played.is_empty()).then_some("mount");
    let typed = played.iter().flat_map(|block| typed_outside(block));
    if let Some(tool) = own.into_iter().chain(typed).find(|tool| !is_here(tool)) {
        return Some(format!(
            "{tool} is not installed (the package {})",
            package_of(tool)
        ));
    }
    // Before chapter 4, containers have the host's files.
    if page.number().is_some_and(|number| number < 4) {
        return None;
    }
    let mut typed = played.iter().flat_map(|block| typed_inside(block));
    let tool = typed.find(|tool| !is_inside(&workspace.join("rootfs"), tool))?;
    Some(format!("./rootfs has no {tool} (rootfs-fetch.sh --force --from busybox)"))
}

fn typed_outside(block: &Block) -> impl Iterator<Item = &'static str> {
    let tool = block.tool.clone();
    let typed = commands(block).flat_map(|(_, command)| of(&OUTSIDE, command));
    let typed: Vec<_> = typed.filter(|typed| Some(*typed) != tool.as_deref()).collect();
    typed.into_iter()
}

fn typed_inside(block: &Block) -> impl Iterator<Item = &'static str> {
    commands(block)
        .filter(|(prompt, command)| {
            *prompt == Prompt::Inner || command.contains(" run ")
        })
        .flat_map(|(_, command)| of(&INSIDE, command))
}

fn commands(block: &Block) -> impl Iterator<Item = (Prompt, &str)> {
    block.parts.iter().filter_map(|part| match &part.input {
        Input::Command(prompt, command) => Some((*prompt, command.as_str())),
        _ => None,
    })
}

fn of(tools: &'static [&'static str], command: &str) -> Vec<&'static str> {
    let between = |ch: char| ch.is_whitespace() || ";|&(){}'\"`$".contains(ch);
    let words: Vec<_> =
        command.split(between).map(|word| word.trim_start_matches("/bin/")).collect();
    tools.iter().copied().filter(|tool| words.contains(tool)).collect()
}

/// Looks in all directories: a busybox tree has everything in bin, and Alpine has `ip`
/// in sbin.
fn is_inside(rootfs: &Path, tool: &str) -> bool {
    ["bin", "sbin", "usr/bin", "usr/sbin"]
        .iter()
        .any(|dir| rootfs.join(dir).join(tool).symlink_metadata().is_ok())
}

/// Returns whether the program is installed, also in root's PATH: the page becomes root
/// where it needs to.
pub fn is_here(tool: &str) -> bool {
    has(tool)
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists())
}
