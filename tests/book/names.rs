//! Checks that pages do not use fixed paths below `/tmp`. Several readers share one
//! `/tmp` (in a classroom, on a CI machine), so another reader may own a fixed
//! path.

use super::pages::{Book, Page};
use super::transcript::{self, Block, Input, Part, Prompt};

/// Checks that no command that is run on the host names a path below `/tmp`.
pub fn check(book: &Book) -> Vec<String> {
    book.pages.iter().flat_map(check_page).collect()
}

fn check_page(page: &Page) -> Vec<String> {
    // Transcripts that cannot be parsed are reported by another check.
    let blocks = transcript::blocks(page).unwrap_or_default();
    let to_run = blocks.iter().filter(|block| block.norun.is_none());
    let parts = to_run.flat_map(|block: &Block| &block.parts);
    let wrong = parts.filter(|part| host_command(part).is_some_and(names_tmp));
    let problem = |part: &Part| {
        page.at(part.line, "a fixed name in /tmp: make a directory with `mktemp -d`")
    };
    wrong.map(problem).collect()
}

/// Returns the command, if it is typed on the host.
fn host_command(part: &Part) -> Option<&str> {
    match &part.input {
        Input::Command(Prompt::User | Prompt::Root, command) => Some(command),
        _ => None,
    }
}

/// Returns whether a command contains `/tmp/name`. `rootfs/tmp/name` and
/// `$dir/tmp/name` do not count.
fn names_tmp(command: &str) -> bool {
    let is_absolute = |at: usize| {
        let before = command[..at].chars().next_back();
        !before.is_some_and(|ch| ch.is_alphanumeric() || "/._-~}".contains(ch))
    };
    command.match_indices("/tmp/").any(|(at, _)| is_absolute(at))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::{accepts, refuses};
    use super::check;

    const PAGE: &str = "book/src/01-uts.md";

    #[test]
    fn a_fixed_name_in_tmp_is_found() {
        for command in ["rm /tmp/a", "echo >/tmp/a", "x --run-dir=/tmp/a"] {
            let page = format!("```console,root\n# true\n# {command}\n```\n");
            refuses(check, &[(PAGE, &page)], "01-uts.md:3: a fixed name in /tmp");
        }
    }

    #[test]
    fn a_temporary_name_and_a_path_in_a_container_are_accepted() {
        let page = "```console\n$ dir=$(mktemp -d); x --tmpfs /tmp -v $dir/tmp/b sh\n\
                    / # touch /tmp/a\n/ # exit\n$ rm rootfs/tmp/a\n```\n\
                    ```console,norun=it is only shown\n$ rm /tmp/a\n```\n";
        accepts(check, &[(PAGE, page)]);
    }
}
