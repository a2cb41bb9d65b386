# shellcheck shell=bash
# shellcheck disable=SC2154 # the variables of run
# Situations with images and archives of images.

ghost-files() {
    mkdir -p new/srv/new && touch new/srv/new/.wh.nothing new/srv/new/file
    tar -C new -cf layer.tar srv
    image ghosts layer.tar
    for program in docker podman kiste; do
        try "$program" load_and_run "$program" ghosts rm -r /srv/new
    done
}

two-headers() {
    echo x >file
    tar --format=pax --pax-option=delete=atime,delete=ctime,path:=innocent -cf first.tar file
    tar --format=pax --pax-option=delete=atime,delete=ctime,comment:=x -cf second.tar file
    (head -c 1024 first.tar && cat second.tar) >layer.tar
    image headers layer.tar
    try tar tar -tf layer.tar
    try bsdtar bsdtar -tf layer.tar
    try python3 python3 -m tarfile -l layer.tar
    for program in docker podman kiste; do
        try "$program" load_and_run "$program" headers ls -d file innocent
    done
}

# Makes the directory two/, with two configurations and with layers that differ.
two_configurations() {
    for which in scanned runs; do
        echo "$which" >which && tar -cf "$which.tar" which
        image "$1" "$which.tar"
        rm -rf "$which" && mv archive "$which"
        mv "$which/config.json" "$which/$which.json"
        sed -i "s/config.json/$which.json/" "$which/manifest.json"
    done
}

two-manifests() {
    two_configurations twice
    tar -C scanned -cf twice.tar .
    tar -C runs -rf twice.tar .
    for program in docker podman kiste; do try "$program" load_and_run "$program" twice cat which; done
}

two-spellings() {
    two_configurations spelled
    cp runs/runs.json runs/runs.tar scanned/
    sed -i 's/}]$/, "config": "runs.json", "layers": ["base.tar", "runs.tar"]}]/' scanned/manifest.json
    tar -C scanned -cf spelled.tar .
    try python3 python3 -c 'import json; print(json.load(open("scanned/manifest.json"))[0]["Config"])'
    for program in docker podman kiste; do try "$program" load_and_run "$program" spelled cat which; done
}

# Copies a disk as a power cut would leave it, and looks at the copy.
power-cut() {
    image cut
    stop_docker
    for program in docker podman kiste; do
        command -v "${program/docker/dockerd}" >/dev/null || [ "$program" = kiste ] || continue
        truncate -s 300M disk && mkfs.ext4 -q disk && mount -o loop disk /var/lib
        [ "$program" != docker ] || start_docker
        load "$program" cut.tar >/dev/null
        until cp --sparse=always disk copy && cp --sparse=always disk again && cmp -s copy again; do :; done
        stop_docker
        umount -l /var/lib && mount -o loop copy /var/lib
        [ "$program" != docker ] || start_docker
        try "$program" engine "$program" --network none cut:1 echo 'it runs'
        load "$program" cut.tar >/dev/null || true
        try "$program" engine "$program" --network none cut:1 echo 'it runs after loading again'
        stop_docker
        umount -l /var/lib && rm disk copy again
    done
    start_docker
}

damaged-document() {
    image healthy
    echo x >other && tar -cf other.tar other && image damaged other.tar
    for program in docker podman kiste; do
        is_here "$program" || continue
        for name in healthy damaged; do load "$program" "$name.tar" >/dev/null; done
        id=$(sha256sum <archive/config.json | cut -d ' ' -f 1)
        find /var/lib/{docker/image/*/imagedb,containers/storage/overlay-images,kiste/blobs} -type f \
            -path "*$id*" \( -name "$id" -o -name manifest \) -exec sh -c 'echo "{" >"$1"' - {} \; 2>/dev/null
        try "$program" "$program" images
        try "$program" engine "$program" --network none healthy:1 echo 'the healthy image runs'
    done
}

interrupted-save() {
    head -c 200M /dev/urandom >large && tar -cf large.tar large && image large large.tar
    for program in docker podman kiste; do
        is_here "$program" || continue
        load "$program" large.tar >/dev/null
        rm -rf saved && mkdir saved
        (timeout --signal INT 0.5 "${program/kiste/$kiste}" save -o saved/large.tar large:1 >/dev/null 2>&1) || true
        try "$program" ls -A saved
    done
    rm -rf large* archive saved
}

# A container makes a file that layers have no name for, and is committed.
reserved-name() {
    image plain
    for program in docker podman kiste; do
        is_here "$program" || continue
        load "$program" plain.tar >/dev/null
        if [ "$program" = kiste ]; then
            try kiste engine kiste --network none --commit committed:1 plain:1 touch /etc/.wh.passwd
        else
            local options=(--name committed)
            [ "$program" = docker ] || options+=(--ulimit host --cgroup-parent "/$parent")
            "$program" run "${options[@]}" --network none plain:1 touch /etc/.wh.passwd
            "$program" commit committed committed:1 >/dev/null 2>&1 && "$program" rm committed >/dev/null
        fi
        try "$program" engine "$program" --network none committed:1 ls /etc/passwd
    done
}
