#!/bin/sh
# Sets up a laptop from the stick, without a network: sh setup.sh [DIR]. DIR is ~/kiste-course by default.
set -eu
stick=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P)
dir=${1:-$HOME/kiste-course}

die() {
    echo "error: $1" >&2
    [ -z "${2:-}" ] || echo "hint: $2" >&2
    exit 1
}

# The command that installs the packages of this distribution.
packages() {
    # shellcheck disable=SC1091 # every distribution has it
    id=$(. /etc/os-release && echo "$ID")
    sed -n "s/^$id  *//p" "$stick/packages.txt"
}

[ "$(uname -s)" = Linux ] || die "this is $(uname -s): the course needs Linux" "a virtual machine will do"
[ ! -e "$dir" ] || die "$dir exists" "choose another directory: sh setup.sh DIR"
command -v cargo >/dev/null || die "there is no cargo" "install Rust 1.95 or newer: https://rustup.rs"
version=$(cargo --version | cut -d ' ' -f 2)
newest=$(printf '%s\n1.95.0\n' "$version" | sort -V | tail -n 1)
[ "$newest" = "$version" ] || die "this is Rust $version, and 1.95 is needed" "rustup update"
command -v cc >/dev/null || die "there is no C linker" "as root: $(packages)"

echo "copying the course to $dir"
mkdir -p "$(dirname -- "$dir")"
dir=$(CDPATH='' cd -- "$(dirname -- "$dir")" && pwd -P)/$(basename -- "$dir")
new=$(mktemp -d "$dir.XXXXXX")
trap 'rm -rf "$new"' EXIT
trap 'exit 130' INT HUP TERM
# Only the files that are on the list: other systems leave files of their own on a stick. The copy is checked, and
# gets its name when it is whole.
cut -c 67- "$stick/SHA256SUMS" |
    tar -C "$stick" -cf - SHA256SUMS --verbatim-files-from -T - | tar -C "$new" -xf - ||
    die "the stick cannot be copied" "is the disk full?"
(cd "$new" && sha256sum --check --quiet --strict SHA256SUMS) || die "the stick is damaged" "copy it again"
chmod 755 "$new"
mv -T "$new" "$dir"
trap - EXIT INT HUP TERM

alpine=$(cd "$dir" && find . -maxdepth 1 -name "alpine-minirootfs-*-$(uname -m).tar.gz" | sort -V | tail -n 1)
if [ "$alpine" ]; then
    # Cargo sets this for all that it starts below this directory.
    printf '\n[env]\nKISTE_ALPINE = { value = "%s", relative = true }\n' "$alpine" >>"$dir/.cargo/config.toml"
    export KISTE_ALPINE="$dir/$alpine"
else
    echo "the stick has no root file system for $(uname -m): containers get a copy of this machine's tools"
fi

echo "building, which takes three minutes or more"
cd "$dir/kiste"
cargo build --offline --quiet --bins
./rootfs-fetch.sh

# Steps 1 to 5 are started as root, so root asks for them.
sudo=$(command -v sudo) || echo "there is no sudo: only chapters 6 and 7 work without root"
${sudo:+"$sudo"} target/debug/05-cgroups doctor || echo "doctor says above what this machine lacks"
restricted=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
if [ -e "$restricted" ] && [ "$(cat "$restricted")" = 1 ]; then
    echo "for chapters 6 and 7: sudo sh $PWD/tests/workshop/machines/apparmor.sh install"
fi
echo "ready: cd $dir/kiste, and open $dir/book/index.html"
