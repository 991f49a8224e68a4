
# Shadow copies of ZFS datasets. Comes after lvm.sh where the guest has ZFS, and uses its functions.

# What must be the same after each test as it was before.
state() {
    zfs list -H -t all -o name,mounted,mountpoint
    cat /proc/mounts
    hardback shadow list 2>&1
}

zfs_snapshots() {
    zfs list -H -t snapshot -o name | grep -c hardback-shadow
}

# What a backup froze: so many datasets, and nothing else.
froze() {
    [ "$(grep -o '"provider":"zfs"' /tmp/report | wc -l)" = "$1" ] || fail "not $1 snapshots were made: $(cat /tmp/report)"
    [ "$(grep -o '"provider":"' /tmp/report | wc -l)" = "$1" ] || fail "another provider froze something"
}

# Two datasets are of one moment: the first of the pair is in the dataset above, the second in the one below.
zfs_child() {
    pairs zfs
    froze 2
}

# A dataset of another pool below: one view, and a snapshot in each.
zfs_pools() {
    zfs set mountpoint=/mnt/zfs/below other/x
    echo other > /mnt/zfs/below/file
    (backup zfs 0 --shadow always && froze 3 && [ "$(cat "$(latest zfs)/below/file")" = other ])
    code=$?
    zfs set mountpoint=/mnt/zfs-other other/x
    rmdir /mnt/zfs/below
    [ $code = 0 ] || fail "$(cat /tmp/why 2> /dev/null) the other pool's file is not in the snapshot"
}

# A dataset that ZFS does not mount by itself.
zfs_legacy() {
    mkdir -p /mnt/zfs-legacy
    zfs set mountpoint=legacy other/x
    mount -t zfs other/x /mnt/zfs-legacy
    echo legacy > /mnt/zfs-legacy/file
    (backup zfs-legacy 0 --shadow always && froze 1 && [ "$(cat "$(latest zfs-legacy)/file")" = legacy ])
    code=$?
    umount /mnt/zfs-legacy
    zfs set mountpoint=/mnt/zfs-other other/x
    [ $code = 0 ] || fail "$(cat /tmp/why 2> /dev/null) the file is not in the snapshot"
}

# Somebody looked into a snapshot: ZFS has mounted it below the source, and that is no part of it.
zfs_looked_into() {
    zfs snapshot tank/home@monday
    ls /mnt/zfs/.zfs/snapshot/monday/files > /tmp/listed
    (looked_into)
    code=$?
    umount /mnt/zfs/.zfs/snapshot/monday
    zfs destroy tank/home@monday
    [ $code = 0 ] || exit 1
}

looked_into() {
    [ "$(wc -l < /tmp/listed)" = 300 ] || fail "nobody can look into a snapshot here"
    grep -q ' /mnt/zfs/.zfs/snapshot/monday zfs ' /proc/mounts || fail "it is not mounted: the test shows nothing"
    backup zfs 0 --shadow always
    froze 2
    [ ! -e "$(latest zfs)/.zfs" ] || fail "there is a .zfs in the snapshot"
    # Nothing can change in it: it is read as it is.
    hardback backup /mnt/zfs/.zfs/snapshot/monday "$T/monday" --job monday --shadow always --json > /tmp/report 2>&1 ||
        fail "a snapshot is no source: $(cat /tmp/report)"
    [ "$(ls "$T/monday/monday/latest/monday/files" | wc -l)" = 300 ] || fail "its files are not in the backup"
}

# Killed right after the freezing: it is on record, and the next run removes it, or a sweep.
zfs_killed() {
    for way in run sweep; do
        backup zfs 137 --shadow always --after-shadow 'kill -9 $PPID'
        [ "$(zfs_snapshots)" = 2 ] || fail "not two snapshots are left"
        hardback shadow list --json > /tmp/list || fail "shadow list fails"
        grep -q '"in_use":false.*"provider":"zfs"' /tmp/list || fail "it is not listed: $(cat /tmp/list)"
        if [ $way = run ]; then
            backup zfs 0 --shadow always
            grep -q '"swept":\["hardback-shadow-' /tmp/report || fail "the next run does not tell what it removed"
        else
            hardback shadow sweep || fail "shadow sweep fails"
        fi
        [ "$(zfs_snapshots)" = 0 ] || fail "the $way did not remove all"
    done
    echo "info: removed by the next run and by a sweep"
}

# Killed at any time.
zfs_killed_anywhere() {
    left=0
    for fifths in 1 3 5 7 9 11 13 16; do
        hardback backup /mnt/zfs "$T/zfs" --job zfs --shadow always > /tmp/report 2>&1 &
        pid=$!
        sleep "$((fifths / 5)).$((fifths % 5 * 2))"
        kill -9 $pid
        wait $pid
        # A tool that was at work when its owner died keeps the record in use until it is done.
        for try in 1 2 3 4 5 6 7 8 9 10; do
            hardback shadow list --json > /tmp/list
            grep -q '"in_use":true' /tmp/list || break
            sleep 1
        done
        [ "$(zfs_snapshots)" = 0 ] || left=$((left + 1))
        hardback shadow sweep || fail "shadow sweep fails"
        [ "$(zfs_snapshots)" = 0 ] || fail "killed after $fifths fifths of a second: a snapshot is left"
    done
    [ $left -gt 0 ] || fail "no kill came while there was a snapshot: the test shows nothing"
    echo "info: $left of 8 kills left snapshots, which were swept"
}

# An encrypted dataset, of which ZFS has the key.
zfs_encrypted() {
    echo correct-horse | zfs create -o encryption=on -o keyformat=passphrase -o mountpoint=/mnt/zfs-crypt other/crypt
    populate /mnt/zfs-crypt
    (try_encrypted)
    code=$?
    zfs destroy other/crypt
    [ $code = 0 ] || exit 1
}

try_encrypted() {
    backup zfs-crypt 0 --shadow always
    backup zfs-crypt 0 --shadow always
    [ "$(count linked)" = 303 ] || fail "$(count linked) files were linked, not 303"
    cmp /mnt/zfs-crypt/files/1 "$(latest zfs-crypt)/files/1" || fail "a file has another content"
}

# Mounts are shared, as systemd has it.
zfs_shared() {
    mount --make-rshared /
    grep -q ' /mnt/zfs .* shared:' /proc/self/mountinfo || fail "nothing is shared: the test shows nothing"
    (zfs_killed && zfs_looked_into)
    code=$?
    mount --make-rprivate /
    [ $code = 0 ] || exit 1
}

# What a program wrote by a mapping is in the snapshot, also what ZFS was not given yet.
zfs_mapped() {
    mkfifo /tmp/hold
    mapped /mnt/zfs/z/mapped < /tmp/hold > /tmp/said &
    exec 3> /tmp/hold
    while ! grep -q mapped /tmp/said; do true; done
    (backup zfs 0 --shadow always)
    code=$?
    exec 3>&-
    wait
    rm /tmp/hold /mnt/zfs/z/mapped
    [ $code = 0 ] || exit 1
    [ "$(head -c 4 "$(latest zfs)/z/mapped")" = mmmm ] || fail "the snapshot lacks what was written by a mapping"
}

# Any command on a frozen view, in which nothing can be written.
zfs_with_shadow() {
    hardback with-shadow --source /mnt/zfs -- sh -c 'cmp "$1/files/1" /mnt/zfs/files/1 && touch "$1/x" && exit 9; exit 7' x {}
    [ $? = 7 ] || fail "the command's exit code is another"
    hardback with-shadow --in-place --source /mnt/zfs -- sh -c '
        test -e /mnt/zfs/z/pair || exit 1; echo new > /mnt/zfs/z/new 2> /dev/null && exit 2; true' || fail "in place: $?"
    [ ! -e /mnt/zfs/z/new ] || fail "it was written to"
}

# Where ZFS's tool is missing, that is said.
zfs_no_tools() {
    mv /sbin/zfs /sbin/zfs.away
    (backup zfs 1 --shadow always)
    code=$?
    mv /sbin/zfs.away /sbin/zfs
    [ $code = 0 ] || exit 1
    grep -q "the command zfs is not there" /tmp/report || fail "it does not say what is missing"
}

set_up_zfs() {
    set -e
    echo $((96 << 20)) > /sys/module/zfs/parameters/zfs_arc_max
    lvcreate -q -y -n zfs -L 256M thick
    lvcreate -q -y -n zfs-other -L 96M thick
    zpool create -f -o cachefile=none -O mountpoint=none tank /dev/thick/zfs
    zpool create -f -o cachefile=none -O mountpoint=none other /dev/thick/zfs-other
    zfs create -o mountpoint=/mnt/zfs tank/home
    zfs create tank/home/z
    zfs create -o mountpoint=/mnt/zfs-other other/x
    populate /mnt/zfs
    grep zfs /proc/mounts
}

cat /sys/module/zfs/version
if (set_up_zfs) > /tmp/log 2>&1; then
    echo "guest: ZFS is set up"
else
    echo "guest: FAILED set up ZFS"
    cat /tmp/log
fi

run_test zfs-child zfs_child
run_test zfs-pools zfs_pools
run_test zfs-legacy zfs_legacy
run_test zfs-looked-into zfs_looked_into
run_test zfs-killed zfs_killed
run_test zfs-killed-anywhere zfs_killed_anywhere
run_test zfs-encrypted zfs_encrypted
run_test zfs-shared zfs_shared
run_test zfs-mapped zfs_mapped
run_test zfs-with-shadow zfs_with_shadow
run_test zfs-no-tools zfs_no_tools
