#!/bin/sh
# A small Debian node image, as the tests boot it: kernel, systemd, cloud-init, containerd, runc, CNI plugins; then
# kubelet and rollcall-node-agent. Run as root on Debian with mmdebstrap, e2fsprogs, cpio and busybox-static.
#
#   image.sh tree TREE                     the operating system in the folder TREE (a minute)
#   image.sh disk TREE OUT AGENT KUBELET   OUT/root.ext4, OUT/vmlinuz, OUT/initrd.img from it (seconds); TREE stays as it is
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=bookworm
packages=ca-certificates,cloud-init,conntrack,containerd,containernetworking-plugins,dbus,e2fsprogs,iproute2,iptables,kmod,libpam-systemd,mount,procps,runc,systemd,systemd-sysv,udev

# What the tests' disk needs of a kernel's modules; the rest of the drivers is built in.
modules='virtio_pci virtio_blk virtio_net'

tree() (
  # Whatever is mounted in the tree goes with this process, also when that is killed.
  exec unshare --mount --propagation private -- "$0" system "$1"
)

system() (
  tree=$1
  # The machine's own Debian sources, so that the image comes from where its builder trusts.
  sources=/etc/apt/sources.list.d/debian.sources
  [ -f "$sources" ] || sources=/etc/apt/sources.list
  mmdebstrap --quiet --mode=root --variant=minbase --format=directory --components=main \
    --include="$packages" --aptopt='APT::Install-Recommends "0"' \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' "$suite" "$tree" - < "$sources"
  kernel "$tree"
  cp -a --no-preserve=ownership "$here/files/." "$tree/"
  echo node > "$tree/etc/hostname"
  : > "$tree/etc/resolv.conf"
  chroot "$tree" systemctl --quiet enable systemd-networkd.service containerd.service
  # Chores of a machine that lives for years.
  chroot "$tree" systemctl --quiet mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    e2scrub_reap.service fstrim.timer getty@tty1.service ldconfig.service systemd-firstboot.service \
    systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-pcrphase.service systemd-update-done.service
)

# The kernel unpacked, not installed: no initramfs is made for a machine that is not this one.
kernel() (
  tree=$1
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends:/ {print $2; exit}')
  work=$(mktemp -d)
  (cd "$work" && apt-get download -qq "$package" && dpkg-deb -x "$package"_*.deb unpacked)
  mkdir -p "$tree/boot"
  cp "$work"/unpacked/boot/vmlinuz-* "$tree/boot/vmlinuz"
  cp -a "$work/unpacked/lib/modules" "$tree/lib/"
  echo "${package#linux-image-}" > "$tree/boot/version"
  chroot "$tree" depmod "${package#linux-image-}"
  rm -rf "$work"
)

disk() (
  tree=$(cd "$1" && pwd) out=$2 agent=$3 kubelet=$4
  mkdir -p "$out"
  # Seen through an overlay, the tree can be used by several at a time, and again.
  exec unshare --mount --propagation private -- "$0" overlaid "$tree" "$out" "$agent" "$kubelet"
)

overlaid() (
  tree=$1 out=$2 agent=$3 kubelet=$4
  memory=$(mktemp -d)
  trap 'umount -R "$memory"; rmdir "$memory"' EXIT
  mount -t tmpfs image "$memory"
  mkdir "$memory/upper" "$memory/work" "$memory/root"
  mount -t overlay image -o "lowerdir=$tree,upperdir=$memory/upper,workdir=$memory/work" "$memory/root"
  root=$memory/root
  install -m 0755 "$kubelet" "$root/usr/local/bin/kubelet"
  "$agent" install --root "$root"
  chroot "$root" systemctl --quiet enable kubelet.service rollcall-node-agent.service
  generalize "$root"
  "$agent" image-check --root "$root"
  initrd "$root" "$out/initrd.img"
  cp "$root/boot/vmlinuz" "$out/vmlinuz"
  rm -f "$out/root.ext4"
  truncate -s 3G "$out/root.ext4"
  mke2fs -q -t ext4 -O ^has_journal,^metadata_csum -E lazy_itable_init=1,nodiscard -m 0 -L root -d "$root" "$out/root.ext4"
)

# What a machine makes for itself at its first boot must not be in the image.
generalize() (
  root=$1
  : > "$root/etc/machine-id"
  rm -rf "$root/var/lib/dbus/machine-id" "$root/var/lib/cloud" "$root/var/lib/systemd/random-seed" "$root"/etc/ssh/ssh_host_*
)

# Loads the modules, mounts the disk and goes on there. Not compressed: under emulation that is faster.
initrd() (
  root=$1 out=$2
  version=$(cat "$root/boot/version")
  work=$(mktemp -d)
  mkdir -p "$work/bin" "$work/dev" "$work/proc" "$work/sys" "$work/new" "$work/modules"
  cp /bin/busybox "$work/bin/"
  ln -s busybox "$work/bin/sh"
  for module in $modules; do
    chroot "$root" modprobe -S "$version" --show-depends "$module"
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' > "$work/list"
  while read -r file; do
    cp "$root$file" "$work/modules/"
    basename "$file"
  done < "$work/list" > "$work/modules/order"
  rm "$work/list"
  install -m 0755 "$here/initrd-init" "$work/init"
  (cd "$work" && find . | cpio -o -H newc --quiet) > "$out"
  rm -rf "$work"
)

case "${1-} $#" in
  'tree 2') tree "$2" ;;
  'disk 5') disk "$2" "$3" "$4" "$5" ;;
  'system 2') system "$2" ;;
  'overlaid 5') overlaid "$2" "$3" "$4" "$5" ;;
  *)
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 64
    ;;
esac
