#!/bin/sh
# Sets up a fresh Debian or Ubuntu, with a network: the packages, Rust, the build, the AppArmor profile. At the end
# `doctor` is the probe: this script fails if doctor does. usage, as the user who will learn there: sh provision.sh
set -eu
cd "$(dirname "$0")/../../.."

# shellcheck disable=SC1091 # every distribution has it
install=$(id=$(. /etc/os-release && echo "$ID") && sed -n "s/^$id  *//p" tests/workshop/stick/packages.txt)
case $install in
apt-get*) ;;
*)
    echo "error: this is no Debian and no Ubuntu" >&2
    echo "hint: tests/workshop/stick/packages.txt has the packages of others" >&2
    exit 1
    ;;
esac
sudo apt-get update -q
# shellcheck disable=SC2086 # a command
sudo env DEBIAN_FRONTEND=noninteractive $install -q -y

PATH=$PATH:$HOME/.cargo/bin
command -v cargo >/dev/null ||
    curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal
cargo build --locked --bins
[ -e rootfs ] || ./rootfs-fetch.sh
restricted=/proc/sys/kernel/apparmor_restrict_unprivileged_userns
if [ -e "$restricted" ] && [ "$(cat "$restricted")" = 1 ]; then
    sudo sh tests/workshop/machines/apparmor.sh install
fi

sudo target/debug/05-cgroups doctor
target/debug/06-user doctor
echo "ready: $PWD"
