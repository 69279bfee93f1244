#!/bin/bash
# The first process of the lab's dom0: file systems, modules, Xen's services, then the agent that the host talks to.
export PATH=/usr/sbin:/usr/bin HOME=/root TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /run
mkdir -p /dev/pts /dev/shm /run/xen /run/xenstored /run/lock /run/xen-hotplug /run/lab /var/log/xen/console
mount -t devpts devpts /dev/pts
# xl's scripts read from /dev/fd, and wait long where it is missing.
ln -s /proc/self/fd /dev/fd
ln -s fd/0 /dev/stdin
ln -s fd/1 /dev/stdout
ln -s fd/2 /dev/stderr
for module in xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs virtio_console virtio_blk 9pnet_virtio 9p \
	xen-blkback loop; do
	modprobe "$module" || echo "lab: modprobe $module failed"
done
mount -t xenfs xenfs /proc/xen
mount -t 9p -o trans=virtio,version=9p2000.L,msize=131072 share /share || echo "lab: no share"
ip link set lo up
xenstored --pid-file /run/xenstored.pid
for _ in 1 2 3 4 5 6 7 8 9 10; do
	xenstore-read / >/dev/null 2>&1 && break
	sleep 0.5
done
xen-init-dom0
xenconsoled --pid-file=/run/xenconsoled.pid
echo "lab: dom0 is ready after $(cut -d' ' -f1 /proc/uptime) s"
/share/dom0-agent &
# The first process takes over what others leave behind; bash collects it.
while :; do
	sleep 3600 &
	wait $!
done
