#!/bin/sh
# Makes ./rootfs, the directory that a container sees as its /. Needs no root. `sh rootfs-fetch.sh --help`
# explains the options.
set -eu
umask 022
unset CDPATH

program=rootfs-fetch.sh
mirror=${KISTE_MIRROR:-https://dl-cdn.alpinelinux.org/alpine}
version=${KISTE_ALPINE_VERSION:-3.24.2}

# Alpine's minirootfs: version, machine, SHA-512. Since the digest is pinned here, the mirror need not be
# trusted, nor the connection encrypted.
pins='
3.24.2 x86_64 bb1cbdc0395826774d8843736624c8ddc225a76de7d70e04444f5390c54986e14b2fa3ad0ca367dfa36dddfc8ebe1d2b4cbcf5cc9993e85badaf96104518f1fc
3.24.2 aarch64 c717aa68d67a354c7f46488eacb459c7a80951bcd7ea255f04a574aba1a6c5144f2117866e674f27fc92df0f05dd7685c1e6824b88ddd41994803d6fb025395c
3.20.3 x86_64 9d5405f61f8a6ebc02461ba75346fbf1a63a4eab8510a0158dd321cee0c4dafe28c2a3d2cb7c3d75e2a8130dae0c3c92382f5b6adeea309eafc97621c5bf6400
'

# The programs in a tree made from the host's own programs, if the host has them.
host_tools='sh ls cat ps hostname id mount umount sleep echo mkdir rmdir stat head tail true
    false env touch rm cp mv ln dd stty kill uname chmod chown pwd wc sort grep sed cut tr seq
    test printf readlink df du date sync mknod mkfifo mktemp nproc tty tee yes whoami free top
    nsenter chroot unshare setsid find md5sum basename dirname'

# The users and groups of a tree that is not Alpine's: the same as in Alpine's.
accounts='
root:x:0:0:root:/root:/bin/sh
bin:x:1:1:bin:/bin:/sbin/nologin
daemon:x:2:2:daemon:/sbin:/sbin/nologin
lp:x:4:7:lp:/var/spool/lpd:/sbin/nologin
sync:x:5:0:sync:/sbin:/bin/sync
mail:x:8:12:mail:/var/mail:/sbin/nologin
games:x:35:35:games:/usr/games:/sbin/nologin
guest:x:405:100:guest:/dev/null:/sbin/nologin
nobody:x:65534:65534:nobody:/:/sbin/nologin
'
groups='
root:x:0:root
bin:x:1:root,bin,daemon
daemon:x:2:root,bin,daemon
sys:x:3:root,bin
adm:x:4:root,daemon
tty:x:5:
disk:x:6:root
lp:x:7:lp
wheel:x:10:root
mail:x:12:mail
audio:x:18:
games:x:35:
users:x:100:games
nogroup:x:65533:
nobody:x:65534:
'

usage() {
    echo "usage: $program [--from auto|alpine|busybox|host|FILE|URL] [--dest DIR] [--force]"
}

help() {
    usage
    cat <<'HELP'

Makes a root file system: a directory with bin/sh and the rest of a small Linux
userland. There is nothing special about it; it becomes the / of a container
only when a step enters it with pivot_root.

  --from SOURCE  where its files come from (default: auto)
      alpine     Alpine's minirootfs, 3 MB, over HTTPS; its SHA-512 is pinned here
      busybox    one static program that is a shell and some 270 commands: an
                 installed one, else the distribution's package (not installed,
                 only unpacked)
      host       copies of this machine's own shell and core tools, with the
                 libraries that ldd lists for them
      FILE, URL  any tarball of a root file system
      auto       $KISTE_ALPINE, alpine, busybox, host: the first that can be had.
                 A wrong digest ends the search; it is never passed over
  --dest DIR     where to put it (default: rootfs beside this script)
  --force        replace a root file system that is there already
  --help         this text

Without --force a DIR that holds a root file system is left as it is. DIR
appears at once and whole, or not at all, whatever interrupts this script.

environment:
  KISTE_ALPINE          a tarball that auto tries first
  KISTE_ALPINE_VERSION  3.24.2 (default) or 3.20.3
  KISTE_MIRROR          in place of https://dl-cdn.alpinelinux.org/alpine; file:///DIR too

exit status: 0 DIR is there; 1 it could not be made; 2 wrong usage
HELP
}

main() {
    parse_arguments "$@"
    if [ -z "$force" ] && is_rootfs "$dest"; then
        say "$dest is there already (--force replaces it)"
        return
    fi
    check_destination
    take_lock
    # Another process may have made it while we waited for the lock.
    if [ -z "$force" ] && is_rootfs "$dest"; then
        say "$dest is there already (--force replaces it)"
        return
    fi
    make_work_directory
    case $from in
        auto) from_auto ;;
        alpine | busybox | host) "from_$from" || die "$why" "$hint" ;;
        *://*) from_url "$from" || die "$why" "$hint" ;;
        *) from_file "$from" || die "$why" "$hint" ;;
    esac
    install_tree
    say "made $dest: $made_of"
    warn_of_setuid
}

parse_arguments() {
    from=auto dest='' force=''
    while [ $# -gt 0 ]; do
        case $1 in
            -h | --help) help; exit 0 ;;
            --force) force=yes ;;
            --from=* | --dest=*)
                option=${1%%=*} value=${1#*=}
                shift
                set -- "$option" "$value" "$@"
                continue
                ;;
            --from | --dest)
                [ -n "${2:-}" ] || usage_error "$1 needs a value"
                if [ "$1" = --from ]; then from=$2; else dest=$2; fi
                shift
                ;;
            *) usage_error "unknown argument $1" ;;
        esac
        shift
    done
    case $version in
        3.24.2 | 3.20.3) ;;
        *) die "KISTE_ALPINE_VERSION=$version: no digest of that version is pinned here" \
            "use 3.24.2 or 3.20.3, or fetch the tarball yourself and give it to --from FILE" ;;
    esac
    # The default is beside the script, not in the current directory: the steps look there.
    [ -n "$dest" ] || dest=$(dirname -- "$0")/rootfs
    while [ "$dest" != "${dest%/}" ]; do dest=${dest%/}; done
    [ -n "$dest" ] || die "--dest /: that is this machine's own root" "name a new directory"
    parent=$(dirname -- "$dest") base=$(basename -- "$dest")
    case $base in
        . | ..) die "--dest $dest: its last part must be a name" "name a new directory" ;;
    esac
    reason=$( (cd -- "$parent") 2>&1) ||
        die "cannot enter $parent, where $base should be made: $(last_reason "$reason")" \
            "make that directory first, or give another --dest"
    parent=$(cd -- "$parent" && pwd -P)
    dest=${parent%/}/$base
    hint_directory="is its disk full (\`df -h $parent\`), is it yours? --dest names another place"
    scratch=${parent%/}/.$base # the prefix of our temporary files: .rootfs.work.XXXXXX, .rootfs.lock
}

# A root file system has a shell where every example looks for it. In Alpine it is a symlink to /bin/busybox,
# which dangles as seen from here: hence -L.
is_rootfs() { [ -e "$1/bin/sh" ] || [ -L "$1/bin/sh" ]; }

# Refuses to replace a $dest that may be something else.
check_destination() {
    [ -e "$dest" ] || return 0
    [ -d "$dest" ] || die "$dest is not a directory" "remove it, or give another --dest"
    # --force must not delete a home directory.
    is_rootfs "$dest" || [ -z "$(ls -A -- "$dest")" ] ||
        die "$dest is neither empty nor a root file system (no bin/sh)" \
            "look at it, then remove it, or give another --dest"
    # Deleting a tree would also delete the files mounted in it: perhaps the host's /dev.
    if [ -r /proc/self/mountinfo ] && cut -d ' ' -f 5 /proc/self/mountinfo | grep -qF -- "$dest/"; then
        die "something is mounted below $dest" \
            "\`findmnt | grep $base\` shows it; umount it first"
    fi
}

# Only one process works at a time. flock(1) on the directory itself leaves no lock file behind, and the
# kernel releases it however we end. Our children inherit it: after a kill -9, the next run waits until a tar
# that survived us has ended.
take_lock() {
    if command -v flock >/dev/null && [ -r "$parent" ]; then
        exec 9<"$parent"
        status=0
        flock -n 9 2>/dev/null || status=$?
        if [ "$status" = 1 ]; then
            say "another $program is at work in $parent: waiting for it"
            status=0
            flock 9 || status=$?
        fi
        [ "$status" != 0 ] || return 0
    fi
    take_link_lock
}

# Without flock(1), or on a file system that does not support it, the lock is a symlink whose target names the
# owning process. One call creates it together with its owner.
take_link_lock() {
    waiting='' vanished=0
    until reason=$(ln -s "process-$$" "$scratch.lock" 2>&1); do
        if ! owner=$(readlink "$scratch.lock"); then
            # It was released just now, or it cannot be created at all.
            vanished=$((vanished + 1))
            [ "$vanished" -lt 10 ] ||
                die "cannot make $scratch.lock: $(last_reason "$reason")" "$hint_directory"
        elif ! [ -d "/proc/${owner#process-}" ]; then
            # Its owner is dead. If two processes see this, one moves the lock away; if the other has moved
            # the first one's new lock instead, it puts that back.
            mv "$scratch.lock" "$scratch.lock.$$" 2>/dev/null || continue
            moved=$(readlink "$scratch.lock.$$")
            [ "$moved" = "$owner" ] || ln -s "$moved" "$scratch.lock" || :
            rm -f "$scratch.lock.$$"
        else
            [ -n "$waiting" ] || say "$owner is at work in $parent: waiting for it"
            waiting=yes
            sleep 1
        fi
    done
    lock=$scratch.lock
}

# All work is done in a directory beside $dest, so that the last step is one rename.
make_work_directory() {
    # We hold the lock, so the processes that made these were killed.
    for stale in "$scratch".work.*; do
        if [ -d "$stale" ]; then remove "$stale"; fi
    done
    work=$(mktemp -d "$scratch.work.XXXXXX" 2>&1) || {
        reason=$work work=''
        die "cannot make a directory in $parent: $(last_reason "$reason")" "$hint_directory"
    }
    tree=$work/new-tree
}

install_tree() {
    chmod 755 "$tree"
    # Under sudo the files are given to the caller, who could not remove root's.
    if [ "$(id -u)" = 0 ] && [ "${SUDO_UID:-0}" != 0 ]; then
        chown -hR "$SUDO_UID:${SUDO_GID:-$SUDO_UID}" "$tree"
    fi
    if [ -d "$dest" ]; then
        mv -- "$dest" "$work/old" ||
            die "cannot move the old $dest away" "is it another user's? \`sudo rm -rf $dest\`"
    fi
    reason=$(rename "$tree" "$dest" 2>&1) || {
        reason=$(last_reason "$reason")
        die "cannot put the tree at $dest: ${reason:-another process has just created it}" \
            "is another process writing there? If not: $hint_directory"
    }
}

# A set-user-ID program of root's in the tree is one on this machine, for every user who can reach it. The
# archives whose digests are pinned here are trusted.
warn_of_setuid() {
    case $(id -u)$made_of in 0*"SHA-512 not verified"*) ;; *) return 0 ;; esac
    every_user_may_enter "$dest" || return 0
    found=$(find "$dest" -xdev -type f -user 0 -perm -4000 2>/dev/null | head -n 1)
    [ -n "$found" ] || return 0
    say "warning: $found is a set-user-ID program of root's, and every user of this machine can run it"
    printf 'hint: %s\n' "move $dest into a directory that only root can enter (chmod 700)" >&2
}

# Whether no directory from / down to this one is closed to all but root.
every_user_may_enter() {
    directory=$1
    while :; do
        # ls -ldn: mode, links, uid, gid; the mode as drwxr-x---.
        line=$(ls -ldn -- "$directory") || return 1
        case $(echo "$line" | tr -s ' ' | cut -d ' ' -f 1,3,4) in
            d?????[-S]??[-T]*' 0 '* | d????????[-T]*' 0 0') return 1 ;;
        esac
        [ "$directory" != / ] || return 0
        directory=$(dirname -- "$directory")
    done
}

# Does rename(2). A plain mv would move the tree *into* a directory that somebody has created there meanwhile,
# or into one that a symlink leads to. Not every mv has -T, which prevents that.
rename() {
    mkdir "$work/probe"
    if mv -T -- "$work/probe" "$work/probed" 2>/dev/null; then
        mv -T -- "$1" "$2"
        return
    fi
    mv -- "$1" "$2" || return
    inside=$2/${1##*/}
    ! [ -e "$inside" ] || { mv -- "$inside" "$1"; return 1; }
}

# --- sources: each fills $tree and sets $made_of, or sets $why and $hint and returns 1

from_auto() {
    if [ -n "${KISTE_ALPINE:-}" ]; then
        # The user has named this tarball, so no other source takes its place.
        from_file "$KISTE_ALPINE" || die "KISTE_ALPINE: $why" "correct the path, or unset KISTE_ALPINE"
        return
    fi
    say "not from a tarball: KISTE_ALPINE is not set"
    for source in alpine busybox host; do
        if "from_$source"; then return; fi
        say "not from $source: $why"
    done
    die "no source for a root file system was found" "give a tarball of one: --from FILE"
}

from_alpine() {
    machine=$(uname -m)
    name=alpine-minirootfs-$version-$machine.tar.gz
    if [ -z "$(pin_of "$name")" ]; then
        why="Alpine $version is not pinned for $machine" hint="try --from busybox or --from host"
        return 1
    fi
    from_url "$mirror/v${version%.*}/releases/$machine/$name" || {
        hint="without a network: --from busybox, --from host, or --from FILE with a tarball fetched elsewhere"
        return 1
    }
}

from_url() {
    hint="check the network and the address"
    name=${1%%[?#]*} name=${name##*/}
    download "$1" "$work/download" || return 1
    unpack "$work/download" "$name"
    made_of="$made_of, from $1"
}

from_file() {
    case $1 in
        /*) file=$1 ;;
        *) file=./$1 ;; # so that no tool takes it for an option, or tar for HOST:FILE
    esac
    hint="--from takes auto, alpine, busybox, host, a URL or a readable tarball"
    if [ -d "$file" ]; then
        why="cannot read $1: it is a directory, not a tarball"
        return 1
    fi
    # A copy, so that the checked bytes are the ones that are unpacked; and a pipe can be read only once.
    reason=$( (cat <"$file" >"$work/tarball") 2>&1) || {
        why="cannot read $1: $(last_reason "$reason")"
        case $reason in *"No space"*) hint=$hint_directory ;; esac
        return 1
    }
    unpack "$work/tarball" "${file##*/}"
    made_of="$made_of, from $1"
}

from_busybox() {
    hint="install the package busybox-static, or use another --from"
    busybox=$(command -v busybox) || busybox=
    made_of="busybox, a copy of $busybox"
    if [ -z "$busybox" ] || ! is_static "$busybox"; then
        busybox_from_package || return 1
        made_of="busybox, from Debian's package busybox-static"
    fi
    skeleton
    reason=$(cp -L -- "$busybox" "$tree/bin/busybox" 2>&1 && chmod 755 "$tree/bin/busybox" 2>&1) ||
        die "cannot copy $busybox: $(last_reason "$reason")" "$hint_directory"
    # Busybox is one program with many names: argv[0] tells it which tool to be.
    applets=$("$busybox" --list) || die "$busybox --list failed" "$hint"
    for applet in $applets; do
        [ "$applet" = busybox ] || ln -s busybox "$tree/bin/$applet" ||
            die "cannot link $applet" "$hint_directory"
    done
}

from_host() {
    hint="use another --from"
    command -v ldd >/dev/null || { why="no ldd to ask which libraries the tools need"; return 1; }
    skeleton
    set --
    missing=
    for tool in $host_tools; do
        if path=$(find_on_path "$tool"); then
            copy "$path" "$tree/bin/$tool"
            set -- "$@" "$path"
        else
            missing="$missing $tool"
        fi
    done
    # ldd names libraries by the paths where the loader will look for them inside:
    # `libc.so.6 => /lib/…/libc.so.6 (0x…)`, and the loader itself.
    for library in $(ldd "$@" 2>/dev/null | grep '^[[:space:]]' | grep -o '/[^ ]*' | sort -u); do
        copy "$library" "$tree$library"
    done
    # The loader's cache, which lists libraries outside its own directories.
    [ ! -f /etc/ld.so.cache ] || copy /etc/ld.so.cache "$tree/etc/ld.so.cache"
    is_rootfs "$tree" || { why="found no sh on PATH"; return 1; }
    [ -z "$missing" ] || say "this machine has no$missing: the root file system will not, either"
    made_of="this machine's own sh, ls and so on, with their libraries"
}

# --- tarballs

download() {
    say "fetching $1"
    case $1 in
        file://*)
            path=${1#file://} path=${path#localhost}
            why=$(cp -- "$path" "$2" 2>&1) || { why="cannot copy $path: $(last_reason "$why")"; return 1; }
            return 0
            ;;
    esac
    if command -v curl >/dev/null; then
        client=with_curl progress=--progress-bar quiet=--no-progress-meter
    elif command -v wget >/dev/null; then
        client=with_wget progress='' quiet=-nv
    else
        why="there is neither curl nor wget to fetch $1" hint="install curl"
        return 1
    fi
    status=0 reason=
    if [ -t 2 ]; then
        $client "$1" "$2" $progress || status=$?
    else
        reason=$($client "$1" "$2" "$quiet" 2>&1) || status=$?
    fi
    [ "$status" != 0 ] || return 0
    why="cannot fetch $1: ${reason:-${client#with_} ended with code $status}"
    return 1
}

# Fails soon without a network: a slow connection is allowed, a dead one is not.
with_curl() { # URL FILE OPTION…
    url=$1 file=$2
    shift 2
    curl "$@" --fail --location --connect-timeout 10 --speed-limit 1 --speed-time 30 \
        --output "$file" --url "$url"
}

with_wget() {
    url=$1 file=$2
    shift 2
    wget "$@" -T 10 -t 1 -O "$file" "$url"
}

# Everything is checked before anything is unpacked.
unpack() { # FILE NAME
    command -v tar >/dev/null || die "there is no tar to unpack $2" "install tar, or use --from busybox"
    check_digest "$1" "$2"
    check_names "$1" "$2"
    mkdir "$tree"
    # -p: the archive's modes, without our umask (/tmp is 1777). As root, the archive's user ids are kept; its
    # user names would be those of this machine.
    owners=
    [ "$(id -u)" != 0 ] || owners=--numeric-owner
    # shellcheck disable=SC2086 # no owners, no argument
    reason=$(tar -xpf "$1" $owners -C "$tree" 2>&1) ||
        die "cannot unpack $2: $(tar_reason "$reason")" "$hint_directory"
    is_rootfs "$tree" ||
        die "$2 is no root file system: it has no bin/sh at its top" \
            "a tarball of an image (docker save) holds layers; \`docker export\` makes what is wanted"
}

check_digest() {
    digest=$(sha512 "$1") || die "cannot take the SHA-512 of $2: no sha512sum, no openssl" \
        "install coreutils"
    pinned=$(pin_of "$2")
    known=$(name_of "$digest")
    if [ -n "$known" ]; then
        made_of="$known, SHA-512 verified"
    elif [ -n "$pinned" ]; then
        die "wrong SHA-512 of $2, nothing is unpacked:
  pinned $pinned
  found  $digest" "the file was cut short or changed on its way: fetch it again, or from another mirror"
    else
        say "the digest of $2 is not pinned here, so it is not verified: SHA-512 $digest"
        made_of="$2, SHA-512 not verified"
    fi
}

# Refuses archives that name files outside, such as /etc/passwd or ../../.profile. Some tars strip such names
# in a listing, and say so; then their message is the sign.
check_names() {
    names=$(LC_ALL=C tar -tf "$1" 2>"$work/tar-errors") ||
        die "cannot read $2 as a tarball: $(grep -m 1 . "$work/tar-errors")" \
            "fetch it again; tar needs gzip, xz or zstd for what these have packed"
    unsafe=$(
        printf '%s\n' "$names" | grep -m 1 -E '^/|(^|/)\.\.(/|$)' ||
            grep -m 1 '[Rr]emoving leading' "$work/tar-errors"
    ) || :
    [ -z "$unsafe" ] ||
        die "$2 is unsafe, nothing is unpacked: it names files outside itself ($unsafe)" \
            "such an archive is broken or malicious: do not use it"
}

sha512() {
    { sha512sum <"$1" 2>/dev/null || openssl dgst -r -sha512 <"$1" 2>/dev/null; } | grep -o '^[0-9a-f]\{128\}'
}

pin_of() { # NAME -> digest
    echo "$pins" | while read -r pin_version pin_machine pin; do
        [ "$1" != "alpine-minirootfs-$pin_version-$pin_machine.tar.gz" ] || echo "$pin"
    done
}

name_of() { # digest -> name
    echo "$pins" | while read -r pin_version pin_machine pin; do
        [ "$1" != "$pin" ] || echo "Alpine $pin_version for $pin_machine"
    done
}

# --- trees made by hand

# The directories and files that the kernel, the shell and the steps expect in any root.
skeleton() {
    remove "$tree"
    reason=$(
        {
            mkdir "$tree" && cd "$tree" &&
                mkdir bin dev etc home lib media mnt opt proc root run srv sys tmp usr var &&
                mkdir usr/lib usr/local usr/share &&
                mkdir var/cache var/empty var/lib var/log var/mail var/spool var/tmp &&
                ln -s bin sbin && ln -s ../bin usr/bin && ln -s ../bin usr/sbin &&
                ln -s ../run var/run && ln -s ../proc/mounts etc/mtab &&
                chmod 700 root && chmod 1777 tmp var/tmp &&
                echo localhost >etc/hostname &&
                echo '127.0.0.1 localhost' >etc/hosts &&
                echo "$accounts" | sed '/^$/d' >etc/passwd &&
                echo "$groups" | sed '/^$/d' >etc/group
        } 2>&1
    ) || die "cannot write to $tree: $(last_reason "$reason")" "$hint_directory"
}

# Needs neither root nor an earlier `apt-get update`: apt keeps its lists and packages in our directory, and
# checks Debian's signatures as always.
busybox_from_package() {
    if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
        why="no static busybox is installed, and there is no apt-get to fetch Debian's package with"
        return 1
    fi
    say "no static busybox is installed: asking apt-get for Debian's package busybox-static"
    mkdir -p "$work/apt/lists/partial" "$work/apt/archives/partial" "$work/apt/unpacked"
    set -- -q -o APT::Sandbox::User=root -o Acquire::Retries=0 -o Acquire::http::Timeout=10 \
        -o Acquire::https::Timeout=10 -o Acquire::Languages=none \
        -o Dir::State="$work/apt" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/apt"
    reason=$(cd "$work/apt" && apt-get "$@" update 2>&1 && apt-get "$@" download busybox-static 2>&1) || {
        why="apt-get could not fetch busybox-static: $(last_reason "$reason")"
        return 1
    }
    reason=$(cd "$work/apt" && dpkg-deb -x busybox-static_*.deb unpacked 2>&1) ||
        die "cannot unpack busybox-static: $(last_reason "$reason")" "$hint_directory"
    for busybox in "$work/apt/unpacked/bin/busybox" "$work/apt/unpacked/usr/bin/busybox"; do
        if [ -x "$busybox" ]; then return; fi
    done
    why="the package busybox-static holds no busybox"
    return 1
}

# Whether a program is statically linked: ldd lists no library's path.
is_static() { command -v ldd >/dev/null && ! ldd "$1" 2>/dev/null | grep -q '[[:space:]]/'; }

find_on_path() (
    directories=$PATH:/usr/bin:/bin:/usr/sbin:/sbin # users' PATHs often lack sbin
    IFS=:
    for directory in $directories; do
        if [ -f "$directory/$1" ] && [ -x "$directory/$1" ]; then
            echo "$directory/$1"
            return
        fi
    done
    return 1
)

copy() {
    # No -p: a set-user-id mount or su is not wanted inside.
    reason=$(mkdir -p "${2%/*}" 2>&1 && cp -L -- "$1" "$2" 2>&1) ||
        die "cannot copy $1: $(last_reason "$reason")" "$hint_directory"
}

# --- messages and clean-up

say() { printf '%s: %s\n' "$program" "$1" >&2; }

die() { # WHAT HINT
    say "$1"
    printf 'hint: %s\n' "$2" >&2
    exit 1
}

usage_error() {
    say "$1"
    usage >&2
    echo "hint: --help explains" >&2
    exit 2
}

# The message of tar to show, since it complains about every file: a full disk, or else the first one.
tar_reason() { printf '%s\n' "$1" | grep -m 1 'No space' || printf '%s\n' "$1" | head -n 1; }

# The reason at the end of the last line: `cp: cannot stat 'x': No such file`.
last_reason() { printf '%s\n' "$1" | tail -n 1 | sed 's/.*: //'; }

# Removes a tree. For an ordinary user, directories that the archive made read-only must be opened first.
remove() {
    [ -e "$1" ] || return 0
    rm -rf -- "$1" 2>/dev/null || { chmod -R u+rwX -- "$1" && rm -rf -- "$1"; } 2>/dev/null ||
        say "could not remove all of $1: \`sudo rm -rf $1\` does"
}

work='' lock=''
clean_up() {
    status=$?
    # Between the two renames of --force, the old tree is here and the new one not yet in place.
    if [ -n "$work" ] && [ -d "$work/old" ] && ! [ -e "$dest" ]; then mv -- "$work/old" "$dest"; fi
    [ -z "$work" ] || remove "$work"
    [ -z "$lock" ] || rm -f -- "$lock"
    exit "$status"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

main "$@"
