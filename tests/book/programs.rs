//! Finds programs that a page uses and that this machine or `./rootfs` lacks, or the list
//! of packages for a workshop.

use std::path::Path;

use kiste_tests::host::{has, package_of};

use super::host::{Host, RootAccess, Verdict};
use super::pages::{Book, Page};
use super::run_page::Lane;
use super::stand_in::StandIn;
use super::transcript::{self, Block, Input, Needs, Prompt};

/// Programs that the book uses on the host, and that Debian's essential packages lack.
const OUTSIDE: [&str; 15] = [
    "capsh", "curl", "free", "getcap", "ip", "losetup", "mount", "nft", "ps", "setcap",
    "setfattr", "strace", "top", "umoci", "umount",
];

/// Programs that the book uses in containers, and that copies of the host's own tools
/// lack.
const INSIDE: [&str; 4] = ["busybox", "ip", "nc", "ping"];

/// The packages of a learner's machine, a line for each distribution.
const PACKAGES: &str = "tests/workshop/stick/packages.txt";

/// Checks that a learner who has installed the packages has every program that Part I
/// uses on the host.
pub fn check_packages(book: &Book) -> Vec<String> {
    let list = book.read(Path::new(PACKAGES));
    let mut problems = Vec::new();
    for page in book.chapters_with_tasks() {
        let blocks = transcript::blocks(page).unwrap_or_default();
        for (block, tool) in
            blocks.iter().flat_map(|it| used_outside(it).map(move |tool| (it, tool)))
        {
            let package = package_of(&tool);
            for distribution in ["debian ", "ubuntu "] {
                let has = |line: &str| line.split(' ').any(|word| word == package);
                if !list.lines().any(|line| line.starts_with(distribution) && has(line))
                {
                    let what = format!(
                        "{tool} is in {package}, which {distribution}lacks in {PACKAGES}"
                    );
                    problems.push(page.at(block.line, what));
                }
            }
        }
    }
    problems
}

fn used_outside(block: &Block) -> impl Iterator<Item = String> {
    block.tool.clone().into_iter().chain(typed_outside(block).map(String::from))
}

/// Returns why this machine cannot run the page. Later blocks of a page depend on the
/// earlier ones, so the whole page is skipped if a program is missing. Only a block
/// that names its program (`tool=`) can be skipped alone.
pub fn missing(
    page: &Page,
    lane: Lane,
    host: &Host,
    workspace: &Path,
) -> Option<String> {
    let blocks = lane.blocks(page).ok()?;
    let to_run = blocks.iter().filter(|block| host.verdict(block) == Verdict::Run);
    let to_run: Vec<_> = to_run.collect();
    // For an ordinary user, `UserHome` itself mounts a ./rootfs.
    let is_for_a_user = |block: &&Block| {
        host.root == RootAccess::Already
            && [Needs::User, Needs::Rootless].contains(&block.needs)
    };
    let mounts = StandIn::is_for(page, host)
        || to_run.iter().copied().any(|block| is_for_a_user(&block));
    let own = (mounts && !to_run.is_empty()).then_some("mount");
    let typed = to_run.iter().flat_map(|block| typed_outside(block));
    if let Some(tool) = own.into_iter().chain(typed).find(|tool| !is_installed(tool)) {
        return Some(format!(
            "{tool} is not installed (the package {})",
            package_of(tool)
        ));
    }
    // Before chapter 4, containers use the host's root file system.
    if page.number().is_some_and(|number| number < 4) {
        return None;
    }
    let mut typed = to_run.iter().flat_map(|block| typed_inside(block));
    let tool = typed.find(|tool| !is_inside(&workspace.join("rootfs"), tool))?;
    Some(format!("./rootfs has no {tool} (rootfs-fetch.sh --force --from busybox)"))
}

fn typed_outside(block: &Block) -> impl Iterator<Item = &'static str> {
    let tool = block.tool.clone();
    let typed = commands(block).flat_map(|(_, command)| tools_in(command, &OUTSIDE));
    let typed: Vec<_> = typed.filter(|typed| Some(*typed) != tool.as_deref()).collect();
    typed.into_iter()
}

fn typed_inside(block: &Block) -> impl Iterator<Item = &'static str> {
    commands(block)
        .filter(|(prompt, command)| {
            *prompt == Prompt::Inner || command.contains(" run ")
        })
        .flat_map(|(_, command)| tools_in(command, &INSIDE))
}

fn commands(block: &Block) -> impl Iterator<Item = (Prompt, &str)> {
    block.parts.iter().filter_map(|part| match &part.input {
        Input::Command(prompt, command) => Some((*prompt, command.as_str())),
        _ => None,
    })
}

/// Returns those of the tools that a command names.
fn tools_in(command: &str, tools: &'static [&'static str]) -> Vec<&'static str> {
    let is_separator = |ch: char| ch.is_whitespace() || ";|&(){}'\"`$".contains(ch);
    let words: Vec<_> = command
        .split(is_separator)
        .map(|word| word.trim_start_matches("/bin/"))
        .collect();
    tools.iter().copied().filter(|tool| words.contains(tool)).collect()
}

/// Looks in all directories: a busybox tree has everything in bin, and Alpine has `ip`
/// in sbin.
fn is_inside(rootfs: &Path, tool: &str) -> bool {
    ["bin", "sbin", "usr/bin", "usr/sbin"]
        .iter()
        .any(|dir| rootfs.join(dir).join(tool).symlink_metadata().is_ok())
}

/// Returns whether the program is installed, in our PATH or in root's: a page may type
/// commands as root.
pub fn is_installed(tool: &str) -> bool {
    has(tool)
        || ["/usr/sbin", "/sbin"].iter().any(|dir| Path::new(dir).join(tool).exists())
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::{PACKAGES, check_packages};

    const PAGE: (&str, &str) =
        ("book/src/08-network.md", "```console,root,tool=getfattr\n# nft list\n```\n");

    #[test]
    fn a_program_whose_package_is_not_listed_is_found() {
        let listed = "debian a nftables attr\nubuntu a nftables attr\n";
        accepts(check_packages, &[PAGE, (PACKAGES, listed)]);
        let without = listed.replace("ubuntu a nftables", "ubuntu a");
        refuses(check_packages, &[PAGE, (PACKAGES, &without)], "nft is in nftables");
        let without = listed.replace("nftables attr\nu", "nftables\nu");
        refuses(check_packages, &[PAGE, (PACKAGES, &without)], "getfattr is in attr");
    }
}
