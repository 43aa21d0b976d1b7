# Becomes a machine of its own: systemd as PID 1 over a throw-away overlay of this one's root, in
# namespaces of its own. Nothing is installed, nothing outside changes.
# Words: a directory to work in, then directories that are to be as they are outside.
set -eu
work=$1
shift

mount --make-rprivate /
mount -t tmpfs -o size=2g tmpfs "$work/disk"
root=$work/disk/root
mkdir "$work/disk/upper" "$work/disk/work" "$root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/disk/upper,workdir=$work/disk/work" "$root"

mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mkdir -p "$root/mnt/share"
mount --bind "$work/share" "$root/mnt/share"
for directory; do
  mkdir -p "$root$directory"
  mount --rbind "$directory" "$root$directory"
done

mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
for name in null zero full random urandom tty; do
  touch "$root/dev/$name"
  mount --bind "/dev/$name" "$root/dev/$name"
done
touch "$root/dev/console"
mount --bind /dev/null "$root/dev/console"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

# What belongs to hardware, or to the machine outside.
for unit in systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \
  systemd-udev-trigger.service systemd-timesyncd.service systemd-networkd.service \
  systemd-networkd.socket systemd-resolved.service console-getty.service tmp.mount \
  dev-hugepages.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount; do
  ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done
[ -e "$root/etc/machine-id" ] || echo uninitialized > "$root/etc/machine-id"

mkdir "$root/outside"
cd "$root"
pivot_root . outside
umount -l /outside
rmdir /outside
exec env -i container=torcd-tests PATH=/usr/sbin:/usr/bin:/sbin:/bin NOTIFY_SOCKET=/mnt/share/notify \
  /lib/systemd/systemd --system --log-target=console --unit=basic.target
