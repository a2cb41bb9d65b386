//! The registers of a process that stops at a system call: ptrace(2).

use nix::errno::Errno;
use nix::libc::user_regs_struct;
use nix::sys::ptrace;
use nix::unistd::Pid;

pub struct Registers(user_regs_struct);

#[cfg(target_arch = "x86_64")]
impl Registers {
    /// Reads them. None if the process has gone.
    pub fn of(pid: Pid) -> Option<Self> {
        ptrace::getregs(pid).ok().map(Registers)
    }

    /// Returns the number of the system call.
    pub fn number(&self) -> i64 {
        self.0.orig_rax as i64
    }

    pub fn arguments(&self) -> [u64; 6] {
        let Registers(it) = self;
        [it.rdi, it.rsi, it.rdx, it.r10, it.r8, it.r9]
    }

    /// Replaces the result by an error.
    pub fn fail(mut self, pid: Pid, errno: Errno) {
        self.0.rax = -(errno as i64) as u64;
        let _ = ptrace::setregs(pid, self.0);
    }

    /// Makes the kernel skip the call: ptrace(2), a call of number -1 is not made.
    pub fn skip(mut self, pid: Pid) {
        self.0.orig_rax = u64::MAX;
        let _ = ptrace::setregs(pid, self.0);
    }
}

/// Lets the workspace compile on other machines. Their registers are not known here.
#[cfg(not(target_arch = "x86_64"))]
impl Registers {
    pub fn of(pid: Pid) -> Option<Self> {
        let _ = ptrace::getregs(pid).ok().map(Registers);
        panic!("faults are injected on x86-64 only");
    }

    pub fn number(&self) -> i64 {
        unreachable!("{:?}", self.0)
    }

    pub fn arguments(&self) -> [u64; 6] {
        unreachable!("{:?}", self.0)
    }

    pub fn fail(self, pid: Pid, errno: Errno) {
        unreachable!("{pid} {errno}")
    }

    pub fn skip(self, pid: Pid) {
        unreachable!("{pid}")
    }
}
