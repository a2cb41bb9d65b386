#!/bin/sh
# Lets the steps of this workspace make user namespaces as an ordinary user, where AppArmor restricts them: Ubuntu
# 24.04 and newer. usage: sh apparmor.sh print | sudo sh apparmor.sh install | sudo sh apparmor.sh remove
set -eu
workspace=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd -P)
target=${CARGO_TARGET_DIR:-$workspace/target}
# Each workspace has a profile of its own: a learner may have two, and a machine several learners.
name=kiste.$(printf %s "$target" | cksum | cut -d ' ' -f 1)
file=/etc/apparmor.d/$name

die() {
    echo "error: $1" >&2
    echo "hint: $2" >&2
    exit 1
}

# The programs from step 6 on, which are started without root. A profile with the flag unconfined forbids nothing.
profile() {
    cat <<EOF
abi <abi/4.0>,
include <tunables/global>

profile $name "$target/{debug,release}/{0[6-9],1[0-9]}-*" flags=(unconfined) {
  userns,
}
EOF
}

case $target in
/*) ;;
*) die "CARGO_TARGET_DIR is $target" "name it by a path from / on" ;;
esac
case $target in
*[]\*?{}^@,\"\\[]*) die "AppArmor would read a pattern in $target" "move the workspace to a plainer path" ;;
esac
case ${1:-} in
print) profile ;;
install)
    command -v apparmor_parser >/dev/null || die "there is no apparmor_parser" "without AppArmor, no profile is needed"
    profile >"$file"
    # Parsed before it is loaded: a profile that is not valid must not stay.
    apparmor_parser --replace "$file" || { rm -f "$file"; die "AppArmor refuses the profile" "before 4.0 it has no restriction, and needs no profile"; }
    echo "$file is loaded"
    ;;
remove)
    [ -e "$file" ] || die "there is no $file" "sudo drops CARGO_TARGET_DIR: sudo -E keeps it"
    apparmor_parser --remove "$file"
    rm "$file"
    echo "$file is removed"
    ;;
*) die "usage: sh apparmor.sh print|install|remove" "install and remove need root" ;;
esac
