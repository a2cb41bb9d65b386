//! After a power cut at ten moments of each command that changes the store, the store
//! lists the old image or the new one, `check` finds no damage in it, and loading again
//! repairs the store.
//!
//! At every second moment, the journal of the file system is committed first: the disk
//! then has all names as of that moment, but of the content only what the command has
//! flushed.

use crate::minimal_layer::minimal_layer;
use crate::power_cut::{run_script, store_and_archives};

/// Functions of the shell script, in addition to those of `power_cut`.
const FUNCTIONS: &str = r#"
    import_it() { exec "$0" import --store "$1/store" root.tar small:1; }
    load_it() { exec "$0" load --store "$1/store" -i b.tar; }
    remove_it() { exec "$0" rmi --store "$1/store" small:1; }
    # The checksum of the image's content; - if the image is not listed.
    content_if_listed() {
        "$0" images --store "$1/store" >listed || echo "$when: images failed"
        if grep -q '^small' listed; then content "$1" small:1; else echo -; fi
    }
    # Cuts the power at ten moments of the command $1: disks cut-1 to cut-10.
    cut_at_ten_moments() {
        start=$(date +%s%N)
        ( $1 ref ) >out 2>&1 || { echo "failed: $1"; cat out; }
        step=$(( ($(date +%s%N) - start) / 15000000 ))
        "$1" disk >out 2>&1 & pid=$!
        for cut in 1 2 3 4 5 6 7 8 9 10; do
            sleep "$(printf '0.%03d' $step)"
            kill -STOP $pid 2>/dev/null
            if [ $((cut % 2)) = 0 ]; then echo >disk/other; sync disk/other; fi
            cut_power cut-$cut.img
            kill -CONT $pid 2>/dev/null
        done
        wait $pid || { echo "failed: $1"; cat out; }
    }
    # Cuts the power at ten moments of the command $1, and checks the disks.
    check_command() {
        when="before $1"; old=$(content_if_listed disk)
        cut_at_ten_moments "$1"
        when="after $1"; new=$(content_if_listed disk)
        [ "$old" != "$new" ] || echo "$1 changes nothing"
        for cut in 1 2 3 4 5 6 7 8 9 10; do
            when="moment $cut of $1"
            mount -o loop cut-$cut.img after || exit 9
            found=$(content_if_listed after)
            case $found in "$old"|"$new") ;; *) echo "$when: $found";; esac
            try "$0" check --store after/store
            try "$0" load --store after/store -i b.tar
            try "$0" check --store after/store
            umount after
        done
    }
"#;

#[test]
fn a_power_cut_at_ten_moments_of_import_load_commit_and_rmi_damages_no_image() {
    let Some(store) = store_and_archives() else { return };
    store.file("root.tar", minimal_layer());
    let options = ["--image", "small:1", "--commit", "small:1"];
    let script = "cat /large /large >/copy; echo it >/new";
    let run = store.fixture().arguments(&options, &["sh", "-c", script]);
    let store_path = store.path().into_os_string();
    let run: Vec<String> = run
        .into_iter()
        .map(|word| match word == store_path {
            true => "\"$1/store\"".into(),
            false => format!("'{}'", word.to_str().unwrap()),
        })
        .collect();
    let commands = format!(
        r#"
        commit_it() {{ exec "$0" {run}; }}
        for command in import_it load_it commit_it remove_it; do
            check_command $command
        done
    "#,
        run = run.join(" ")
    );
    run_script(&store, &[FUNCTIONS, &commands].concat());
}
