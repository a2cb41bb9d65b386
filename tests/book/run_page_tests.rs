//! Runs scratch pages: for each rule of the transcripts, one page that keeps it and one
//! that breaks it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::super::host::{Blocks, Host, RootAccess};
use super::super::pages::Page;
use super::Lane;

fn run_on(host: &Host, text: &str) -> anyhow::Result<Vec<String>> {
    run_in(Path::new("/"), host, text)
}

fn run_in(dir: &Path, host: &Host, text: &str) -> anyhow::Result<Vec<String>> {
    let page = Page { path: "scratch.md".into(), text: text.to_string() };
    let skipped = super::run(&page, Lane::All, host, dir)?;
    Ok(skipped.into_iter().map(|(line, why)| page.at(line, why)).collect())
}

fn run(text: &str) -> anyhow::Result<Vec<String>> {
    run_on(&Host { blocks: Blocks::All, ..Host::ask() }, text)
}

fn runs_as_shown(text: &str) {
    let skipped = run(text).unwrap_or_else(|problem| panic!("{problem:#}"));
    assert_eq!(skipped, Vec::<String>::new());
}

/// Asserts that the page fails at this line, with these words in the error.
fn fails_at(text: &str, line: usize, words: &str) {
    let problem = format!("{:#}", run(text).expect_err("the page must fail"));
    assert!(problem.contains(&format!("scratch.md: line {line}: ")), "{problem}");
    assert!(problem.contains(words), "`{words}` is not in: {problem}");
}

#[test]
fn a_command_prints_what_the_page_shows() {
    runs_as_shown(
        "```console\n$ echo one; echo two >&2\none\ntwo\n$ echo $((6 * 7))\n[..]2\n```\n",
    );
}

#[test]
fn a_command_that_prints_something_else_is_found() {
    fails_at("```console\n$ true\n$ echo two\none\n```\n", 3, "  - one\n  + two\n");
}

#[test]
fn a_command_that_prints_more_is_found() {
    fails_at("```console\n$ echo one; echo two\none\n```\n", 2, "    one\n  + two\n");
}

#[test]
fn a_terminal_keeps_its_state_from_block_to_block() {
    runs_as_shown(
        "```console\n$ cd /tmp; name=x\n```\n\n```console\n$ pwd; echo $name\n/tmp\nx\n```\n",
    );
}

#[test]
fn a_terminal_starts_in_the_workspace_with_24_rows_and_100_columns() {
    runs_as_shown("```console\n$ pwd; stty size\n/\n24 100\n```\n");
}

#[test]
fn a_long_command_is_not_mistaken_for_output() {
    let long = "x".repeat(150);
    runs_as_shown(&format!("```console\n$ echo {long}\n{long}\n```\n"));
}

#[test]
fn the_fast_lane_runs_only_the_marked_sections() {
    let text = "## A ▸\n```console\n$ A=1\n```\n### Below\n```console\n$ B=2\n```\n\
                ## C\n```console\n$ A=3\n```\n## D ▸\n```console\n$ echo $A$B\n12\n```\n";
    let page = Page { path: "scratch.md".into(), text: text.into() };
    let host = Host { blocks: Blocks::All, ..Host::ask() };
    super::run(&page, Lane::Fast, &host, Path::new("/")).expect("12 is printed");
    super::run(&page, Lane::All, &host, Path::new("/")).expect_err("32 is printed");
}

#[test]
fn lines_are_typed_into_the_shell_that_a_command_opened() {
    runs_as_shown(
        "```console\n$ cd /; PS1='/ # ' sh\n/ # echo $((1 + 1))\n2\n/ # exit\n$ echo out\nout\n```\n",
    );
}

#[test]
fn wrong_output_in_an_inner_shell_is_found() {
    fails_at(
        "```console\n$ PS1='/ # ' sh\n/ # echo two\none\n/ # exit\n```\n",
        3,
        "+ two",
    );
}

#[test]
fn a_shell_that_the_page_does_not_exit_is_found() {
    fails_at("```console\n$ sh\n/ # echo\n\n$ echo\n```\n", 5, "a shell is still open");
}

#[test]
fn typing_into_a_shell_that_has_ended_is_found() {
    let page = "```console\n$ echo why\n...\n/ # echo\n```\n";
    fails_at(
        page,
        4,
        "no shell is open in this terminal; before, it printed:\n  + why",
    );
}

#[test]
fn a_second_terminal_sees_the_processes_of_the_first() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display();
    runs_as_shown(&format!(
        "```console\n$ sh\n/ # echo $PPID > {path}; echo here\nhere\n/ #\n```\n\n\
         ```console,second\n$ cat /proc/$(cat {path})/comm\nbash\n```\n\n\
         ```console,more\n/ # exit\n$ echo back\nback\n```\n"
    ));
}

#[test]
fn a_background_process_has_started_before_the_next_line_is_typed() {
    runs_as_shown(
        "```console\n$ sh -c 'for i in 1 2 3 4 5 6 7 8 9; do true | true; done; exec sleep 1000' &\n\
         [1] [..]\n$ cat /proc/$!/comm\nsleep\n$ kill $!\n```\n",
    );
}

#[test]
fn a_second_terminal_can_kill_a_command_that_runs_in_the_first() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().display();
    runs_as_shown(&format!(
        "```console,running\n$ sh -c 'echo $$ > {path}; echo up; exec sleep 1000'\nup\n```\n\n\
         ```console,second\n$ kill $(cat {path})\n```\n\n\
         ```console,more\nTerminated\n```\n\n```console\n$ echo $?\n143\n```\n"
    ));
}

#[test]
fn a_key_is_typed_only_after_the_output_shown_before_it() {
    runs_as_shown(
        "```console\n$ sh -c 'sleep 0.2; echo up; sleep 1000'\nup\n^C\n$ echo $?\n130\n```\n",
    );
    runs_as_shown(
        "```console\n$ sleep 1000\n^Z\n[1]+  Stopped[..]sleep 1000\n$ kill %1\n...\n```\n",
    );
}

#[test]
fn a_command_that_does_not_end_is_found() {
    let host = Host {
        root: RootAccess::Never,
        has_v2: false,
        has_userns: true,
        blocks: Blocks::All,
    };
    let page =
        Page { path: "scratch.md".into(), text: "```console\n$ sleep 9\n```\n".into() };
    let mut session = super::Session {
        host: &host,
        dir: Path::new("/"),
        terminals: Default::default(),
        user_home: None,
        data_home: tempfile::tempdir().expect("a temporary directory"),
        stand_in: None,
        last_user: Default::default(),
        chapter_dir: None,
    };
    let blocks = super::transcript::blocks(&page).expect("it can be read");
    let terminal = session
        .terminal(super::Place::First, super::RunAs::Caller)
        .expect("a terminal");
    let result = super::run_part(terminal, &blocks[0].parts[0], Duration::from_secs(1));
    assert!(result.expect_err("it does not end").to_string().contains("does not end"));
}

#[test]
fn a_block_without_its_needs_is_skipped_and_so_are_its_second_blocks() {
    let host = Host {
        root: RootAccess::Never,
        has_v2: false,
        has_userns: true,
        blocks: Blocks::All,
    };
    let page = "```console,root\n# false\n```\n```console,second\n$ echo\nx\n```\n\
                ```console,v2\n$ echo\nx\n```\n```console\n$ echo y\ny\n```\n";
    let skipped = run_on(&host, page).expect("the rest is true");
    assert_eq!(skipped.len(), 3);
    assert!(skipped[0].starts_with("scratch.md:1: it needs root"));
    assert!(skipped[1].starts_with("scratch.md:4: the block before"));
    assert!(skipped[2].starts_with("scratch.md:8: cgroup v2"));
}

#[test]
fn a_section_may_begin_in_the_second_terminal() {
    let page = "## A\n```console,norun=it is not here\n$ false\n```\n\
                ```console,second\n$ echo\nx\n```\n\
                ## B\n```console,second\n$ echo y\nz\n```\n";
    fails_at(page, 11, "+ y");
}

#[test]
fn a_block_is_skipped_if_it_only_prepares_a_skipped_block() {
    let host = Host { root: RootAccess::Never, blocks: Blocks::All, ..Host::ask() };
    let page = "## A\n```console,second\n$ false\nx\n```\n\
                ```console,root\n# false\nx\n```\n\
                ```console,second\n$ false\nx\n```\n";
    let skipped = run_on(&host, page).expect("nothing is run");
    assert!(skipped[0].starts_with("scratch.md:2: the block that follows"));
    assert_eq!(skipped.len(), 3);
}

#[test]
fn the_v2_machine_runs_only_the_v2_blocks() {
    let host = Host {
        root: RootAccess::Never,
        has_v2: true,
        has_userns: true,
        blocks: Blocks::OnlyV2,
    };
    let page = "```console\n$ echo x\ny\n```\n```console,v2\n$ echo x\nx\n```\n";
    assert_eq!(run_on(&host, page).expect("v2 blocks are true"), Vec::<String>::new());
    assert!(run_on(&host, "```console,v2\n$ echo x\ny\n```\n").is_err());
}

#[test]
fn a_block_marked_norun_is_not_run() {
    runs_as_shown("```console,norun=it is on a Mac\n$ limactl start\n```\n");
}

#[test]
fn a_block_marked_user_is_not_run_as_root() {
    runs_as_shown("```console,user\n$ test $(id -u) != 0 && echo user\nuser\n```\n");
}

#[test]
fn a_rootless_block_is_skipped_where_user_namespaces_are_forbidden() {
    let host = Host {
        root: RootAccess::Never,
        has_v2: false,
        has_userns: false,
        blocks: Blocks::All,
    };
    let skipped = run_on(&host, "```console,rootless\n$ false\nx\n```\n")
        .expect("nothing is run");
    assert!(
        skipped[0]
            .starts_with("scratch.md:1: ordinary users may not make user namespaces")
    );
}

#[test]
fn a_block_with_a_tool_is_skipped_where_it_is_not_installed() {
    runs_as_shown("```console,tool=sh\n$ echo x\nx\n```\n");
    let host = Host {
        root: RootAccess::Never,
        has_v2: false,
        has_userns: true,
        blocks: Blocks::All,
    };
    let skipped = run_on(&host, "```console,tool=no-such-tool\n$ false\nx\n```\n")
        .expect("nothing is run");
    assert_eq!(skipped, ["scratch.md:1: no-such-tool is not installed"]);
}

#[test]
fn an_ordinary_user_gets_a_copy_of_roots_rootfs() {
    if Host::ask().root == RootAccess::Already && !kiste_tests::host::has("mount") {
        return Host::ask().log_skip(
            "an_ordinary_user_gets_a_copy_of_roots_rootfs",
            "mount is not installed",
        );
    }
    let workspace = tempfile::tempdir().expect("a temporary directory");
    std::fs::set_permissions(workspace.path(), PermissionsExt::from_mode(0o755))
        .expect("open it to all");
    let file = workspace.path().join("rootfs/file");
    std::fs::create_dir(workspace.path().join("rootfs")).expect("a root file system");
    std::fs::write(&file, "").expect("a file in it");
    let host = Host { has_userns: true, blocks: Blocks::All, ..Host::ask() };
    let page = "```console,rootless\n$ find rootfs -user $(id -u)\nrootfs\nrootfs/file\n$ rm rootfs/file\n```\n";
    assert_eq!(
        run_in(workspace.path(), &host, page).expect("it is true"),
        Vec::<String>::new()
    );
    assert_eq!(
        file.exists(),
        host.root == RootAccess::Already,
        "root's own file is still there"
    );
}

#[test]
fn a_container_of_the_hosts_own_tools_is_entered_and_left() {
    if Host::ask().root == RootAccess::Never {
        return Host::ask()
            .log_skip("a_container_of_the_hosts_own_tools", "it needs root");
    }
    runs_as_shown(
        "```console,root\n# unshare --uts sh\n/ # hostname inside; hostname\ninside\n/ #\n```\n\n\
         ```console,second\n$ test $(hostname) != inside && echo outside\noutside\n```\n\n\
         ```console,more\n/ # exit\n```\n",
    );
}

#[test]
fn what_is_broken_is_played_with_its_chapter_only() {
    let section = |name, line| format!("## {name}\n```console,broken\n{line}\n```\n");
    let text = section("A victim", "$ PS1='victim # ' sh")
        + &section("Chapter 1: a", "victim # echo one\nother")
        + &section("Chapter 12: b", "victim # echo two\ntwo");
    assert_eq!(run(&text).unwrap(), Vec::<String>::new());
    let page = Page { path: "scratch.md".into(), text };
    let host = Host { blocks: Blocks::All, ..Host::ask() };
    let run = |lane| super::run(&page, lane, &host, Path::new("/"));
    assert!(run(Lane::Broken(12)).is_ok());
    let problem = format!("{:#}", run(Lane::Broken(1)).unwrap_err());
    assert!(problem.contains("- other"), "{problem}");
}
