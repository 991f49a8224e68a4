#!/bin/busybox sh
# Shadow copies of LVM volumes, thick and thin, on ext4 and XFS. Runs in the guest of `cargo xtask guest`, which reads
# the lines that begin with "guest: ". Each line "run_test NAME …" at the end is a test, and must tell that it is ok.

T=/target
ONLY=$(sed -n 's/.*hardback\.only=\([^ ]*\).*/\1/p' /proc/cmdline)

fail() {
    echo "$*" | tee /tmp/why
    exit 1
}

# What must be the same after each test as it was before.
state() {
    lvs -a --noheadings -o vg_name,lv_name,lv_attr 2>&1 | sort
    dmsetup ls | sort
    cat /proc/mounts
    hardback shadow list 2>&1
}

run_test() {
    name=$1
    shift
    case ",$ONLY," in
        ,, | *",$name,"*) ;;
        *) return ;;
    esac
    rm -f /tmp/why
    start=$(date +%s)
    state > /tmp/before
    if ("$@") > /tmp/log 2>&1; then
        state > /tmp/after
        cmp -s /tmp/before /tmp/after || echo "it left something: $(diff /tmp/before /tmp/after | tr '\n' ' ')" > /tmp/why
    else
        [ -s /tmp/why ] || echo "it ended in the middle" > /tmp/why
    fi
    took=$(($(date +%s) - start))
    if [ -s /tmp/why ]; then
        echo "guest: FAILED $name ($took s) $(tr '\n' ' ' < /tmp/why)"
        sed 's/^/    /' /tmp/log
    else
        echo "guest: ok $name ($took s)"
        sed -n 's/^info: /guest:    /p' /tmp/log
    fi
}

# A backup of a mounted volume: backup VOLUME EXPECTED_EXIT OPTIONS… Its report, or its error, is in /tmp/report then.
backup() {
    expected=$2
    run_backup "$1" "$@"
    [ "$code" = "$expected" ] || fail "exit $code, not $expected: $(cat /tmp/report)"
}

run_backup() {
    of=$1
    shift 3
    hardback backup "/mnt/$of" "$T/$of" --job "$of" --json "$@" > /tmp/report 2> /tmp/events
    code=$?
    cat /tmp/report
    grep -v -e '"event":"progress"' -e '"event":"phase"' /tmp/events
}

# A number of the report.
count() {
    sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" /tmp/report
}

snapshots() {
    hardback snapshots "$T/$1" --json 2> /dev/null | grep -c '"item":"snapshot"'
}

# The newest snapshot's copy of a volume.
latest() {
    echo "$T/$1/$1/latest/$1"
}

# Appends the same line to two files, one after the other, as fast as it can: in any frozen view, both are equal, or the
# first is one line ahead. A third file is written anew each time, and renamed: it is never half there.
start_writer() {
    rm -f "/tmp/stop"
    (
        n=0
        while [ ! -e /tmp/stop ]; do
            n=$((n + 1))
            echo "this is line $n" >> "/mnt/$1/a/pair"
            echo "this is line $n" >> "/mnt/$1/z/pair"
            echo "$n $n" > "/mnt/$1/z/whole.new"
            mv "/mnt/$1/z/whole.new" "/mnt/$1/z/whole"
        done
    ) &
    writer=$!
    sleep 1
}

stop_writer() {
    touch /tmp/stop
    wait $writer
}

# How many lines the first of a pair is ahead; fails where the lines that both have differ, or one is torn.
ahead() {
    a=$(wc -l < "$1/a/pair")
    z=$(wc -l < "$1/z/pair")
    for file in "$1/a/pair" "$1/z/pair"; do
        [ "$(tail -c 1 "$file")" = "" ] || fail "$file ends in the middle of a line"
    done
    head -n "$z" "$1/a/pair" > /tmp/first
    head -n "$a" "$1/z/pair" > /tmp/second
    [ "$a" -lt "$z" ] || cmp /tmp/first "$1/z/pair" > /dev/null || fail "the pair has other lines"
    [ "$a" -gt "$z" ] || cmp "$1/a/pair" /tmp/second > /dev/null || fail "the pair has other lines"
    echo $((a - z))
}

# Pairs stay equal in each of several rounds; what did not change is linked.
pairs() {
    volume=$1
    start_writer "$volume"
    for round in 1 2 3 4 5; do
        backup "$volume" 0 --shadow always
        ahead=$(ahead "$(latest "$volume")") || fail "round $round: $(cat /tmp/why)"
        [ "$ahead" = 0 ] || [ "$ahead" = 1 ] || fail "round $round: the pair is $ahead lines apart"
        set -- $(cat "$(latest "$volume")/z/whole")
        [ "$#" = 2 ] && [ "$1" = "$2" ] || fail "round $round: a file is half written: $*"
        if [ $round -gt 1 ]; then
            [ "$(count linked)" -ge 300 ] || fail "round $round: only $(count linked) files were linked"
            [ "$(count new_files)" -le 4 ] || fail "round $round: $(count new_files) files were copied"
        fi
        echo "info: round $round: $(wc -l < "$(latest "$volume")/a/pair") lines, $ahead ahead, $(count linked) linked"
    done
    # The same without a shadow copy, to see that the test can fail.
    apart=0
    for try in 1 2 3 4 5 6 7 8; do
        run_backup "$volume" x x --shadow never
        ahead=$(ahead "$(latest "$volume")")
        case $ahead in
            0 | 1) ;;
            *) apart=1 && break ;;
        esac
    done
    stop_writer
    [ $apart = 1 ] || fail "pairs are equal without a shadow copy as well: the test shows nothing"
    echo "info: live, the pair was $ahead lines apart"
    sleep 3
    backup "$volume" 0 --shadow always
    backup "$volume" 0 --shadow always
    [ "$(count new_files)" = 0 ] || fail "$(count new_files) files were copied although nothing changed"
    [ "$(count linked)" = 303 ] || fail "$(count linked) files were linked, not 303"
    hardback verify "$T/$volume" || fail "the snapshots are not whole"
}

# A snapshot that is full ends the run with an error, and no snapshot is sealed: full VOLUME SHOWN HOOK
full() {
    volume=$1
    before=$(snapshots "$volume")
    backup "$volume" 1 --shadow always --shadow-size 8M --hook-timeout 5m --after-shadow "$3"
    rm -f "/mnt/$volume/fill"
    [ "$(snapshots "$volume")" = "$before" ] || fail "a snapshot was made of what is lost"
    grep -q "logical volume $2 was lost" /tmp/report || fail "it does not say which volume was lost"
    grep -q -e --shadow-size /tmp/report || fail "it does not say what to do"
    echo "info: $(sed -n 's/.*\(the shadow copy of[^"]*\)".*/\1/p' /tmp/report | head -n 1)"
    sync
    backup "$volume" 0 --shadow always
}

# Killed right after the freezing: it is on record, and the next run removes it, or a sweep.
killed() {
    volume=$1
    for way in run sweep; do
        backup "$volume" 137 --shadow always --after-shadow 'kill -9 $PPID'
        lvs --noheadings -o lv_name,lv_tags | grep -q 'hardback-shadow-.*hardback$' || fail "there is no snapshot"
        hardback shadow list --json > /tmp/list || fail "shadow list fails"
        grep -q '"in_use":false.*"provider":"lvm"' /tmp/list || fail "it is not listed: $(cat /tmp/list)"
        if [ $way = run ]; then
            backup "$volume" 0 --shadow always
            grep -q '"swept":\["hardback-shadow-' /tmp/report || fail "the next run does not tell what it removed"
        else
            hardback shadow sweep || fail "shadow sweep fails"
        fi
        lvs --noheadings -o lv_name | grep hardback-shadow && fail "the $way did not remove it"
    done
    echo "info: removed by the next run and by a sweep"
}

# Killed at any time.
killed_anywhere() {
    volume=$1
    left=0
    for fifths in 1 3 5 7 9 11 13 15 18 22; do
        hardback backup "/mnt/$volume" "$T/$volume" --job "$volume" --shadow always > /tmp/report 2>&1 &
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
        grep -q '"in_use":true' /tmp/list && fail "it is in use after its owner died: $(cat /tmp/list)"
        lvs --noheadings -o lv_name | grep -q hardback-shadow && left=$((left + 1))
        hardback shadow sweep || fail "shadow sweep fails"
        lvs -a --noheadings -o lv_name | grep hardback-shadow && fail "killed after $fifths fifths of a second: a snapshot is left"
    done
    [ $left -gt 0 ] || fail "no kill came while there was a snapshot: the test shows nothing"
    echo "info: $left of 10 kills left a snapshot, which was swept"
}

# Killed while a tool is at work, which goes on: its snapshot comes after its owner died, and nobody sweeps before.
killed_in_tool() {
    printf '#!/bin/sh\nsleep 4\nexec lvm lvcreate "$@"\n' > /tmp/lvcreate
    chmod +x /tmp/lvcreate
    mv /sbin/lvcreate /sbin/lvcreate.away
    cp /tmp/lvcreate /sbin/lvcreate
    hardback backup /mnt/thick-ext4 "$T/thick-ext4" --job thick-ext4 --shadow always > /tmp/report 2>&1 &
    pid=$!
    while ! pidof sleep > /dev/null; do true; done
    kill -9 $pid
    wait $pid
    hardback shadow list --json > /tmp/list
    hardback shadow sweep > /tmp/swept 2>&1
    mv /sbin/lvcreate.away /sbin/lvcreate
    grep -q '"in_use":true' /tmp/list || fail "it is not in use although a tool is at work: $(cat /tmp/list)"
    grep -q "nothing to remove" /tmp/swept || fail "it was swept while a tool was at work: $(cat /tmp/swept)"
    for try in 1 2 3 4 5 6 7 8 9 10; do
        hardback shadow list --json > /tmp/list
        grep -q '"in_use":true' /tmp/list || break
        sleep 1
    done
    lvs --noheadings -o lv_name | grep -q hardback-shadow || fail "no snapshot came: the test shows nothing"
    hardback shadow sweep || fail "shadow sweep fails"
}

# Two volumes, one mounted below the other by a folder of its own: one view, two snapshots.
nested() {
    mkdir -p /mnt/thick-ext4/below
    mount --bind /mnt/thin-xfs/files /mnt/thick-ext4/below
    backup thick-ext4 0 --shadow always
    umount /mnt/thick-ext4/below
    rmdir /mnt/thick-ext4/below
    [ "$(grep -o '"provider":"lvm"' /tmp/report | wc -l)" = 2 ] || fail "not two snapshots were made"
    [ "$(ls "$(latest thick-ext4)/below" | wc -l)" = 300 ] || fail "the view lacks what is mounted below"
    echo "info: two snapshots within $(sed -n 's/.*"spread_s":\([0-9]*\.[0-9]\).*/\1/p' /tmp/report) s"
}

# What is on no logical volume is refused, or told.
plain() {
    backup plain 1 --shadow always
    grep -q "no shadow copy can be made of /mnt/plain" /tmp/report || fail "it does not say why"
    [ ! -e "$T/plain" ] || [ "$(snapshots plain)" = 0 ] || fail "a snapshot was made"
    backup plain 3 --shadow when-available
    [ "$(snapshots plain)" = 1 ] || fail "no snapshot was made"
    grep -q '"live":\[{"path":"/mnt/plain"' /tmp/report || fail "it does not tell what was read live"
}

# Btrfs on this kernel: it is frozen by itself, though it lies on a logical volume, and keeps its options.
on_btrfs() {
    lvcreate -q -y -n btrfs -L 160M thick
    mkfs.btrfs -q -f /dev/thick/btrfs
    mkdir -p /mnt/btrfs
    mount -t btrfs -o noatime,commit=17 /dev/thick/btrfs /mnt/btrfs
    populate /mnt/btrfs
    (try_btrfs)
    code=$?
    umount /mnt/btrfs
    lvremove -q -f thick/btrfs
    [ $code = 0 ] || exit 1
}

try_btrfs() {
    grep ' /mnt/btrfs ' /proc/mounts > /tmp/options
    pairs btrfs
    btrfs subvolume create /mnt/btrfs/inner
    echo inner > /mnt/btrfs/inner/file
    backup btrfs 0 --shadow always
    grep -q '"provider":"btrfs"' /tmp/report || fail "another provider froze it"
    [ "$(cat "$(latest btrfs)/inner/file")" = inner ] || fail "the subvolume below is not in the snapshot"
    backup btrfs 137 --shadow always --after-shadow 'kill -9 $PPID'
    [ "$(btrfs subvolume list /mnt/btrfs | wc -l)" = 3 ] || fail "nothing was left: $(btrfs subvolume list /mnt/btrfs)"
    hardback shadow sweep
    [ "$(btrfs subvolume list /mnt/btrfs | wc -l)" = 1 ] || fail "a snapshot is left"
    grep ' /mnt/btrfs ' /proc/mounts | cmp -s - /tmp/options || fail "its options are others: $(grep btrfs /proc/mounts)"
}

# So is what lies on another layer above a logical volume.
layer() {
    lvcreate -q -y -n layer -L 32M thick
    dmsetup create layer --noudevsync --noudevrules --table "0 65536 linear /dev/thick/layer 0"
    device=/dev/dm-$(dmsetup info -c --noheadings -o minor layer)
    mkfs.ext4 -q "$device"
    mkdir -p /mnt/layer
    mount "$device" /mnt/layer
    echo x > /mnt/layer/x
    (backup layer 1 --shadow always)
    code=$?
    umount /mnt/layer
    dmsetup remove --noudevsync layer
    lvremove -q -f thick/layer
    [ $code = 0 ] || exit 1
    grep -q "device-mapper device that LVM did not make" /tmp/report || fail "it does not say why"
}

# A volume group without room is told before anything is made.
no_room() {
    lvcreate -q -y -n rest -l 100%FREE thick
    (backup thick-ext4 1 --shadow always)
    code=$?
    lvremove -q -f thick/rest
    [ $code = 0 ] || exit 1
    grep -q "volume group thick has no room left" /tmp/report || fail "it does not say why"
}

# A thin pool that is full.
thin_full() {
    lvcreate -q -y --type thin-pool -n small -L 64M thin
    lvchange -q --errorwhenfull y thin/small
    lvcreate -q -y -n small-ext4 -V 256M --thinpool small thin
    mkfs.ext4 -q /dev/thin/small-ext4
    mkdir -p /mnt/small
    mount /dev/thin/small-ext4 /mnt/small
    echo x > /mnt/small/x
    (backup small 1 --shadow always --after-shadow 'dd if=/dev/zero of=/mnt/small/fill bs=1M count=100 conv=fsync; true')
    code=$?
    umount /mnt/small
    lvremove -q -f thin/small-ext4 thin/small
    [ $code = 0 ] || exit 1
    grep -q "logical volume thin/small-ext4 was lost: the room of its thin pool" /tmp/report || fail "it does not say why"
}

# Any command on a frozen view.
with_shadow() {
    for volume in thick-xfs thin-ext4; do
        start_writer $volume
        hardback with-shadow --source /mnt/$volume -- sh -c '
            cat "$1/a/pair" | md5sum > /tmp/sum1; sleep 2; cat "$1/a/pair" | md5sum > /tmp/sum2
            cp "$1/a/pair" /tmp/a; cp "$1/z/pair" /tmp/z; touch "$1/x" 2> /dev/null && exit 9; exit 7' x {}
        code=$?
        stop_writer
        [ $code = 7 ] || fail "exit $code, not that of the command"
        cmp -s /tmp/sum1 /tmp/sum2 || fail "the view of $volume moves"
        ahead=$(($(wc -l < /tmp/a) - $(wc -l < /tmp/z)))
        [ $ahead = 0 ] || [ $ahead = 1 ] || fail "the pair is $ahead lines apart"
    done
    hardback with-shadow --in-place --source /mnt/thin-xfs -- test -e /mnt/thin-xfs/a/pair || fail "in place: $?"
}

# Where LVM's tools are missing, that is said where they are needed.
no_tools() {
    mv /sbin/lvs /sbin/lvs.away
    (backup thick-ext4 1 --shadow always && cp /tmp/report /tmp/report.lvm && backup plain 1 --shadow always)
    code=$?
    mv /sbin/lvs.away /sbin/lvs
    [ $code = 0 ] || exit 1
    grep -q "lvs is not installed" /tmp/report.lvm || fail "it does not say what is missing"
    grep -q "apt install lvm2" /tmp/report.lvm || fail "it does not say how to get it"
    grep -q "lvs" /tmp/report && fail "a plain disk needs no lvs"
    true
}

populate() {
    mkdir -p "$1/a" "$1/files" "$1/z"
    for i in $(seq 300); do
        echo "file $i" > "$1/files/$i"
    done
    dd if=/dev/urandom of="$1/files/1" bs=64k count=32 2> /dev/null
    touch "$1/a/pair" "$1/z/pair" "$1/z/whole"
}

set_up() {
    set -e
    mkdir -p /state $T /mnt/plain
    mkfs.ext4 -q /dev/vdc
    mount /dev/vdc $T
    mkfs.ext4 -q /dev/vdd
    mount /dev/vdd /mnt/plain
    echo x > /mnt/plain/x
    pvcreate -q /dev/vda /dev/vdb
    vgcreate -q thick /dev/vda
    vgcreate -q thin /dev/vdb
    lvcreate -q -y -n ext4 -L 192M thick
    lvcreate -q -y -n xfs -L 320M thick
    lvcreate -q -y --type thin-pool -n pool -L 1G thin
    lvcreate -q -y -n ext4 -V 192M --thinpool pool thin
    lvcreate -q -y -n xfs -V 320M --thinpool pool thin
    for group in thick thin; do
        mkfs.ext4 -q /dev/$group/ext4
        mkfs.xfs -q /dev/$group/xfs
        for kind in ext4 xfs; do
            mkdir -p /mnt/$group-$kind
            mount -t $kind /dev/$group/$kind /mnt/$group-$kind
            populate /mnt/$group-$kind
        done
    done
    sync
}

uname -r
hardback --version
lvm version
start=$(date +%s)
if (set_up) > /tmp/log 2>&1; then
    echo "guest: set up ($(($(date +%s) - start)) s)"
else
    echo "guest: FAILED set up"
    cat /tmp/log
fi

run_test pairs-thick-ext4 pairs thick-ext4
run_test pairs-thick-xfs pairs thick-xfs
run_test pairs-thin-ext4 pairs thin-ext4
run_test pairs-thin-xfs pairs thin-xfs
run_test full-before-reading full thick-ext4 thick/ext4 'dd if=/dev/zero of=/mnt/thick-ext4/fill bs=1M count=40 conv=fsync'
run_test full-while-reading full thick-xfs thick/xfs 'dd if=/dev/zero of=/mnt/thick-xfs/fill bs=1M count=40 conv=fsync > /dev/null 2>&1 &'
run_test full-thin-pool thin_full
run_test killed-thick killed thick-ext4
run_test killed-thin killed thin-xfs
run_test killed-anywhere-thick killed_anywhere thick-xfs
run_test killed-anywhere-thin killed_anywhere thin-ext4
run_test killed-in-tool killed_in_tool
run_test nested nested
run_test plain plain
run_test btrfs on_btrfs
run_test layer layer
run_test no-room no_room
run_test no-tools no_tools
run_test with-shadow with_shadow
