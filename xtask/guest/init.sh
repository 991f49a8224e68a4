#!/bin/busybox sh
# The first program of the guest: drivers, folders in memory, the tests, the end.
/bin/busybox --install -s /bin
export PATH=/bin:/sbin:/usr/sbin HOME=/tmp HARDBACK_STATE_DIR=/state LVM_SUPPRESS_FD_WARNINGS=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
while read -r module; do
    insmod "$module" || echo "guest: FAILED module $module"
done < /modules/order
# Nobody answers for udev here, and nobody watches how full pools are.
cat > /etc/lvm/lvm.conf <<'END'
activation {
    udev_sync = 0
    udev_rules = 0
    monitoring = 0
}
backup {
    backup = 0
    archive = 0
}
END
sh /tests.sh
echo "guest: end"
poweroff -f
