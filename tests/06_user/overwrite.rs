//! The attack of CVE-2019-5736: a container opens the runtime's program, keeps it open
//! until no process executes it any more, and overwrites it.

use std::fs::{self, File, OpenOptions};
use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;

use kiste_tests::{Ran, Running, host};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::cmsg_space;
use rustix::fs::{SealFlags, fcntl_get_seals};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::{root, with_ranges};

/// Set in a process of the attack, which is this test's own program in a container.
const ATTACKER: &str = "KISTE_TEST_ATTACKER";
/// The name of the abstract socket on which the two containers meet.
const SOCKET: &str = "KISTE_TEST_SOCKET";

/// Starts the program `./victim` in place of the step's.
const START_VICTIM: [&str; 4] = ["sh", "-c", r#"shift; exec ./victim "$@""#, "sh"];

#[test]
fn a_container_of_an_ordinary_user_cannot_overwrite_the_users_program() {
    if attack() {
        return;
    }
    let Some(mut user) = with_ranges() else { return };
    user.install(&std::env::current_exe().unwrap(), "attacker");
    let victim = user.dir().join("victim");
    host::copy_program(user.exe(), &victim);
    user.chown_to_user(&victim);
    let keeper =
        start_keeper(user.dir(), |options, command| user.start(options, command));
    user.user_prefix = START_VICTIM.map(Into::into).into();
    assert_attack_fails(&victim, keeper, |options, command| user.run(options, command));
}

#[test]
fn a_container_of_roots_cannot_overwrite_roots_program() {
    if attack() {
        return;
    }
    let Some(fixture) = root() else { return };
    fixture.install(&std::env::current_exe().unwrap(), "attacker");
    let victim = fixture.dir().join("victim");
    host::copy_program(fixture.exe(), &victim);
    let keeper =
        start_keeper(fixture.dir(), |options, command| fixture.start(options, command));
    assert_attack_fails(&victim, keeper, |options, command| {
        fixture.run_under(&START_VICTIM, options, command)
    });
}

/// Runs `work` with the options and the command of a process of the attack.
fn as_attacker<T>(role: &str, dir: &Path, work: impl Fn(&[&str], &[&str]) -> T) -> T {
    let role = format!("{ATTACKER}={role}");
    let socket = format!("{SOCKET}={}", dir.display());
    let thread = std::thread::current();
    let test = thread.name().unwrap();
    work(
        &["--init", "-e", &role, "-e", &socket],
        &["/attacker", "--exact", test, "--nocapture"],
    )
}

fn start_keeper(dir: &Path, start: impl Fn(&[&str], &[&str]) -> Running) -> Running {
    let mut keeper = as_attacker("keep", dir, start);
    keeper.wait_for("listening");
    keeper
}

/// Runs the victim, whose container opens its program and sends the descriptor to the
/// keeper. The keeper writes after the victim's end.
#[track_caller]
fn assert_attack_fails(
    victim: &Path,
    mut keeper: Running,
    run: impl Fn(&[&str], &[&str]) -> Ran,
) {
    let before = fs::read(victim).unwrap();
    as_attacker("open", victim.parent().unwrap(), run).exits(0);
    keeper.wait_for("received a program");
    keeper.type_in("the victim has ended\n");
    let ran = keeper.end();
    assert!(ran.out.contains("open and write: "), "{ran:?}");
    assert!(fs::read(victim).unwrap() == before, "it was overwritten: {ran:?}");
    assert!(ran.out.contains("open and write: Err("), "{ran:?}");
}

/// In a container: does a part of the attack. Returns false elsewhere.
fn attack() -> bool {
    match std::env::var(ATTACKER).as_deref() {
        Ok("open") => open_and_send(),
        Ok("keep") => keep_and_write(),
        _ => return false,
    }
    true
}

fn address() -> SocketAddr {
    SocketAddr::from_abstract_name(std::env::var(SOCKET).unwrap()).unwrap()
}

fn open_and_send() {
    make_writable("/proc/1/exe");
    let program = File::open("/proc/1/exe").unwrap();
    let socket = UnixStream::connect_addr(&address()).unwrap();
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut space);
    let descriptors = [program.as_fd()];
    assert!(message.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(&socket, &[IoSlice::new(b"x")], &mut message, SendFlags::empty()).unwrap();
}

/// Tries to make the mount that a file was opened through writable.
fn make_writable(path: &str) {
    let writable = MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    let _ = mount(None::<&str>, path, None::<&str>, writable, None::<&str>);
    let _ =
        mount(Some(path), "/etc/hosts", None::<&str>, MsFlags::MS_BIND, None::<&str>);
}

fn keep_and_write() {
    let listener = UnixListener::bind_addr(&address()).unwrap();
    println!("listening");
    let (socket, _) = listener.accept().unwrap();
    let mut program = File::from(receive(&socket));
    let mut magic = [0; 4];
    program.read_exact(&mut magic).unwrap();
    assert_eq!(&magic, b"\x7fELF");
    println!("received a program");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    make_writable(&path);
    let opened = OpenOptions::new().write(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(b"#!/bin/attacker\n"));
    println!("open and write: {written:?}");
}

fn receive(socket: &UnixStream) -> OwnedFd {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut message = RecvAncillaryBuffer::new(&mut space);
    let bytes = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, bytes, &mut message, RecvFlags::empty()).unwrap();
    match message.drain().next() {
        Some(RecvAncillaryMessage::ScmRights(mut descriptors)) => {
            descriptors.next().unwrap()
        }
        _ => panic!("no descriptor was sent"),
    }
}

/// A script whose interpreter is /proc/self/exe makes the runtime's program the
/// command. LD_PRELOAD makes its dynamic linker open a FIFO, and so wait.
#[test]
fn a_command_that_executes_the_runtimes_program_gets_the_sealed_copy() {
    let Some(user) = with_ranges() else { return };
    user.install(user.exe(), "libraries-of-this-program");
    fs::write(user.rootfs().join("script"), "#!/proc/self/exe\n").unwrap();
    host::copy_program(&user.rootfs().join("script"), &user.rootfs().join("command"));
    let fifo = user.rootfs().join("fifo");
    mkfifo(&fifo, Mode::S_IRWXU).unwrap();
    user.chown_to_user(&fifo);
    let running = user.start(&["-e", "LD_PRELOAD=/fifo"], &["/command"]);
    let program = format!("/proc/{}/exe", running.pid);
    let inode = |path: &Path| {
        let found = fs::metadata(path).unwrap();
        (found.dev(), found.ino())
    };
    assert_ne!(inode(program.as_ref()), inode(user.exe()), "the user's own file");
    let seals = fcntl_get_seals(File::open(&program).unwrap()).unwrap();
    assert!(seals.contains(SealFlags::WRITE | SealFlags::SEAL), "{seals:?}");
}
