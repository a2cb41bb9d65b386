#!/bin/sh
# Writes table.rs: every system call, and its number on each architecture.
#
#     sh steps/09-security/src/seccomp/syscalls/generate.sh
#
# The numbers are those of the kernel's own headers, which the crate linux-raw-sys
# has for every architecture. For newer system calls, run `cargo update -p
# linux-raw-sys` first.
set -eu
here=$(dirname "$0")
raw=$(cargo metadata --format-version 1 --filter-platform x86_64-unknown-linux-gnu |
    tr ',' '\n' |
    sed -n 's/^"manifest_path":"\(.*\/linux-raw-sys-[^"]*\)\/Cargo.toml".*/\1/p' | head -n 1)

numbers() {
    sed -n 's/^pub const __\(ARM_\)\{0,1\}NR_\([a-z_0-9]*\): u32 = \([0-9]*\);$/\2 \3/p' \
        "$raw/src/$1/general.rs" | sed "s/^/$2 /"
}

{
    numbers x86_64 1
    numbers x86 2
    numbers x32 3
    numbers aarch64 4
    numbers arm 5
} | awk -v crate="$(basename "$raw")" '
    # An x32 number is kept without the bit that marks it (bit 30).
    { number[$2, $1] = $1 == 3 ? $3 % 1073741824 : $3; names[$2] }
    END {
        print "//! Every system call, sorted by name, and its number on x86_64, i386, x32, aarch64"
        print "//! and arm. Made by generate.sh from " crate "."
        print ""
        print "/// No system call has this number: the architecture lacks it."
        print "pub const NO: u32 = u32::MAX;"
        print ""
        print "/// The names, in order, and their numbers in the order of `Arch`. An x32 number is"
        print "/// without the bit that marks it."
        print "pub static TABLE: &[(&str, [u32; 5])] = &["
        for (name in names) {
            row = "    (\"" name "\", ["
            for (arch = 1; arch <= 5; arch++)
                row = row (arch > 1 ? ", " : "") ((name, arch) in number ? number[name, arch] : "NO")
            print row "])," | "LC_ALL=C sort"
        }
        close("LC_ALL=C sort")
        print "];"
    }' > "$here/table.rs"
