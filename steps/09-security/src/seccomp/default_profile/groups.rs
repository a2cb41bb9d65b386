//! The groups of the default profile.

use crate::capability_set::Capability;

use super::super::arch::Arch;
use super::{Allowed, Group};

/// Every group. If two have the same call, the first decides.
pub static GROUPS: &[Group] = &[
    Group {
        why: "files and directories: the kernel checks their permissions",
        allowed: Allowed::Always,
        names: "_llseek access chdir chmod chown chown32 close close_range \
            copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 \
            fadvise64_64 fallocate fchdir fchmod fchmodat fchown fchown32 fchownat \
            fcntl fcntl64 fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr \
            fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 \
            futimesat getcwd getdents getdents64 getxattr ioctl lchown lchown32 \
            lgetxattr link linkat listxattr llistxattr lremovexattr lseek lsetxattr \
            lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat \
            open openat openat2 pread64 preadv preadv2 pwrite64 pwritev pwritev2 read \
            readahead readdir readlink readlinkat readv removexattr rename renameat \
            renameat2 rmdir sendfile sendfile64 setxattr splice stat stat64 statfs \
            statfs64 statx symlink symlinkat sync sync_file_range syncfs tee truncate \
            truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes \
            write writev",
    },
    Group {
        why: "pipes, events and waiting for descriptors",
        allowed: Allowed::Always,
        names: "_newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old \
            epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 \
            fanotify_mark inotify_add_watch inotify_init inotify_init1 \
            inotify_rm_watch io_cancel io_destroy io_getevents io_setup io_submit pipe \
            pipe2 poll ppoll ppoll_time64 pselect6 pselect6_time64 select",
    },
    Group {
        why: "memory of the process itself",
        allowed: Allowed::Always,
        names: "brk get_mempolicy madvise mbind membarrier memfd_create memfd_secret \
            mincore mlock mlock2 mlockall mmap mmap2 mprotect mremap msync munlock \
            munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages \
            set_mempolicy",
    },
    Group {
        why: "processes and threads: the kernel checks who owns them",
        allowed: Allowed::Always,
        names: "clone clone3 execve execveat exit exit_group fork futex futex_time64 \
            get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid \
            getpriority getrlimit getrusage getsid gettid ioprio_get ioprio_set kill \
            pause pidfd_getfd pidfd_open pidfd_send_signal prctl prlimit64 \
            process_mrelease process_vm_readv process_vm_writev ptrace restart_syscall \
            rseq sched_get_priority_max sched_get_priority_min sched_getaffinity \
            sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
            sched_rr_get_interval_time64 sched_setaffinity sched_setattr \
            sched_setparam sched_setscheduler sched_yield set_robust_list \
            set_thread_area set_tid_address setpgid setpriority setrlimit setsid \
            syscall tgkill times tkill ugetrlimit vfork wait4 waitid waitpid",
    },
    Group {
        why: "signals",
        allowed: Allowed::Always,
        names: "rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo \
            rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 \
            rt_tgsigqueueinfo sigaction sigaltstack signal signalfd signalfd4 \
            sigpending sigprocmask sigreturn sigsuspend",
    },
    Group {
        why: "clocks and timers; to set a clock needs CAP_SYS_TIME as well",
        allowed: Allowed::Always,
        names: "adjtimex alarm clock_adjtime clock_adjtime64 clock_getres \
            clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep \
            clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time \
            timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 \
            timer_settime timer_settime64 timerfd timerfd_create timerfd_gettime \
            timerfd_gettime64 timerfd_settime timerfd_settime64",
    },
    Group {
        why: "sockets that are already there; `socket` itself is in a rule of its own",
        allowed: Allowed::Always,
        names: "accept accept4 bind connect getpeername getsockname getsockopt listen \
            recv recvfrom recvmmsg recvmmsg_time64 recvmsg send sendmmsg sendmsg \
            sendto setsockopt shutdown socketcall socketpair",
    },
    Group {
        why: "shared memory, semaphores and queues, in the container's IPC namespace",
        allowed: Allowed::Always,
        names: "ipc mq_getsetattr mq_notify mq_open mq_timedreceive \
            mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl \
            msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 \
            shmat shmctl shmdt shmget",
    },
    Group {
        why: "ids and capabilities: a process can only give up what it has",
        allowed: Allowed::Always,
        names: "capget capset getegid getegid32 geteuid geteuid32 getgid getgid32 \
            getgroups getgroups32 getresgid getresgid32 getresuid getresuid32 getuid \
            getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups \
            setgroups32 setregid setregid32 setresgid setresgid32 setresuid \
            setresuid32 setreuid setreuid32 setuid setuid32",
    },
    Group {
        why: "a process that confines itself further",
        allowed: Allowed::Always,
        names: "landlock_add_rule landlock_create_ruleset landlock_restrict_self \
            seccomp",
    },
    Group {
        why: "facts and random numbers",
        allowed: Allowed::Always,
        names: "getrandom sysinfo uname",
    },
    // ANCHOR: groups
    Group {
        why: "namespaces and mounts: a container in a container needs them, and the \
            kernel asks for CAP_SYS_ADMIN in the namespace that they change",
        allowed: Allowed::Always,
        names: "fsconfig fsmount fsopen fspick mount mount_setattr move_mount \
            open_tree pivot_root setns umount umount2 unshare",
    },
    Group {
        why: "keys, the log and a reboot: those of the container's own namespaces, or \
            the kernel asks for a capability",
        allowed: Allowed::Always,
        names: "keyctl reboot syslog",
    },
    Group {
        why: "old, obscure or risky calls that no program in a container needs",
        allowed: Allowed::Never,
        names: "bdflush io_pgetevents kexec_file_load kexec_load migrate_pages \
            move_pages nfsservctl nice oldfstat oldlstat oldolduname oldstat olduname \
            pciconfig_iobase pciconfig_read pciconfig_write sgetmask ssetmask \
            swapcontext swapoff swapon sysfs uselib userfaultfd ustat vm86 vm86old \
            vmsplice",
    },
    Group {
        why: "opens files by handle, past every mount: the Shocker attack",
        allowed: Allowed::With(Capability::DAC_READ_SEARCH),
        names: "open_by_handle_at",
    },
    // ANCHOR_END: groups
    Group {
        why: "the administration of the host",
        allowed: Allowed::With(Capability::SYS_ADMIN),
        names: "bpf fanotify_init lookup_dcookie perf_event_open quotactl \
            setdomainname sethostname",
    },
    Group {
        why: "another root directory",
        allowed: Allowed::With(Capability::SYS_CHROOT),
        names: "chroot",
    },
    Group {
        why: "code in the kernel",
        allowed: Allowed::With(Capability::SYS_MODULE),
        names: "delete_module finit_module init_module query_module",
    },
    Group {
        why: "accounts of all processes of the host",
        allowed: Allowed::With(Capability::SYS_PACCT),
        names: "acct",
    },
    Group {
        why: "other processes' kernel objects and memory",
        allowed: Allowed::With(Capability::SYS_PTRACE),
        names: "kcmp process_madvise",
    },
    Group {
        why: "the ports of devices",
        allowed: Allowed::With(Capability::SYS_RAWIO),
        names: "ioperm iopl",
    },
    Group {
        why: "the clock of the host",
        allowed: Allowed::With(Capability::SYS_TIME),
        names: "clock_settime clock_settime64 settimeofday stime",
    },
    Group {
        why: "hangs up the terminal of somebody else",
        allowed: Allowed::With(Capability::SYS_TTY_CONFIG),
        names: "vhangup",
    },
    Group {
        why: "only on ARM",
        allowed: Allowed::On(&[Arch::Arm, Arch::Aarch64]),
        names: "arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls \
            sync_file_range2",
    },
    Group {
        why: "the thread pointer on 64-bit x86",
        allowed: Allowed::On(&[Arch::X86_64, Arch::X32]),
        names: "arch_prctl",
    },
    Group {
        why: "segments, which Wine and DOS emulators use",
        allowed: Allowed::On(&[Arch::X86_64, Arch::X32, Arch::X86]),
        names: "modify_ldt",
    },
];
