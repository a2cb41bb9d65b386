//! The end of a command: it has the right exit code, and leaves no temporary file
//! beside the user's files.

use std::fs;
use std::time::Duration;

use kiste_tests::archive::{Archive, Entry};

use crate::minimal_layer::minimal_layer;
use crate::test_store::root;

#[test]
fn run_exits_with_the_commands_code_even_if_its_files_cannot_be_removed() {
    let Some(store) = root() else { return };
    store.import(minimal_layer(), "small:1");
    let script = ["sh", "-c", "echo it > /x; echo ready; read line; exit 7"];
    let tmp = store.path().join("tmp");
    let mut running = store.start("small:1", &["-i"], &script);
    running.wait_for("ready");
    fs::remove_dir(&tmp).unwrap();
    fs::write(&tmp, "").unwrap();
    running.type_in("\n");
    let ran = running.end();
    assert_eq!(ran.code, 7, "{ran:?}");
    ran.assert_stderr_contains(
        "warning: the files that the container has written stay",
    );
    fs::remove_file(&tmp).unwrap();
    store.gc().exits(0);
    assert_eq!(store.names_in("containers"), [""; 0]);
}

#[test]
fn an_interrupted_save_leaves_nothing_beside_the_users_file() {
    let Some(store) = root() else { return };
    let large = Archive::new().with(Entry::file("large", vec![b'x'; 30 << 20]));
    store.import(large.end(), "large:1");
    let directory = store.dir().join("saved");
    fs::create_dir(&directory).unwrap();
    let file = directory.join("it.tar");
    let files = || {
        let names = fs::read_dir(&directory).unwrap();
        names.map(|it| it.unwrap().file_name()).collect::<Vec<_>>()
    };
    for subcommand in ["save", "export"] {
        let command = [subcommand, "-o", file.to_str().unwrap(), "large:1"];
        for attempt in 1..8 {
            let mut saving = store.command(&command).spawn().unwrap();
            std::thread::sleep(Duration::from_millis(attempt * 15));
            let pid = nix::unistd::Pid::from_raw(saving.id().cast_signed());
            nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
            saving.wait().unwrap();
            assert!(files().iter().all(|name| name == "it.tar"), "{:?}", files());
            let _ = fs::remove_file(&file);
        }
        // An existing file is replaced.
        fs::write(&file, "old").unwrap();
        store.call(&command).exits(0);
        assert_eq!(files(), ["it.tar"]);
        assert!(file.metadata().unwrap().len() > 30 << 20);
        fs::remove_file(&file).unwrap();
    }
}
