//! System calls that neither nix nor rustix has with the features that this project
//! uses: bpf(2), for device rules of version 2, and eventfd(2).
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// An instruction of BPF (linux/bpf.h, `struct bpf_insn`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Instruction {
    pub code: u8,
    /// The destination register in the low four bits, the source in the high four.
    pub registers: u8,
    pub offset: i16,
    pub immediate: i32,
}

const BPF_PROG_LOAD: libc::c_int = 5;
const BPF_PROG_ATTACH: libc::c_int = 8;
const BPF_PROG_DETACH: libc::c_int = 9;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_PROG_QUERY: libc::c_int = 16;

const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const BPF_F_ALLOW_MULTI: u32 = 2;
const BPF_F_REPLACE: u32 = 4;

/// The most programs that [`attached`] finds.
const MAX_PROGRAMS: usize = 64;

/// Loads a device program.
pub(crate) fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Load {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; 16],
    }
    let attributes = Load {
        prog_type: BPF_PROG_TYPE_CGROUP_DEVICE,
        insn_cnt: u32::try_from(program.len()).map_err(io::Error::other)?,
        insns: program.as_ptr().addr() as u64,
        license: c"Apache-2.0".as_ptr().addr() as u64,
        prog_name: *b"kiste_devices\0\0\0",
        ..Load::default()
    };
    bpf(BPF_PROG_LOAD, &attributes).map(owned)
}

#[repr(C)]
#[derive(Default)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
    replace_bpf_fd: u32,
}

/// Attaches a program to a cgroup, in place of `old` if there is one.
pub(crate) fn attach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
    old: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    let attributes = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        attach_flags: BPF_F_ALLOW_MULTI | old.map_or(0, |_| BPF_F_REPLACE),
        replace_bpf_fd: old.map_or(0, number),
    };
    bpf(BPF_PROG_ATTACH, &attributes).map(drop)
}

/// Detaches a program from a cgroup.
pub(crate) fn detach(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = Attach {
        target_fd: number(cgroup),
        attach_bpf_fd: number(program),
        attach_type: BPF_CGROUP_DEVICE,
        ..Attach::default()
    };
    bpf(BPF_PROG_DETACH, &attributes).map(drop)
}

/// Returns the device programs that are attached to the cgroup itself.
pub(crate) fn attached(cgroup: BorrowedFd<'_>) -> io::Result<Vec<OwnedFd>> {
    #[repr(C)]
    struct Query {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        padding: u32,
    }
    let mut ids = [0_u32; MAX_PROGRAMS];
    let mut attributes = Query {
        target_fd: number(cgroup),
        attach_type: BPF_CGROUP_DEVICE,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: MAX_PROGRAMS as u32,
        padding: 0,
    };
    bpf_mut(BPF_PROG_QUERY, &mut attributes)?;
    let count = MAX_PROGRAMS.min(attributes.prog_cnt as usize);
    ids[..count].iter().map(|id| by_id(*id)).collect()
}

fn by_id(id: u32) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct ById {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }
    bpf(BPF_PROG_GET_FD_BY_ID, &ById { id, next_id: 0, open_flags: 0 }).map(owned)
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32 // a borrowed descriptor is never negative
}

fn owned(fd: libc::c_long) -> OwnedFd {
    // SAFETY: the calls that come here return a new descriptor, which nobody else owns.
    // Descriptors fit into an int.
    unsafe { OwnedFd::from_raw_fd(fd as libc::c_int) }
}

fn bpf<T>(command: libc::c_int, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the commands of this function only read the attributes, of which the
    // kernel gets the length. Addresses in them point to slices and strings that
    // outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn bpf_mut<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: as above. The kernel also writes into the attributes, which are borrowed
    // exclusively, and into the array of `prog_cnt` numbers to which they point.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Makes a counter that the kernel can add to.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(owned(fd.into())) }
}
