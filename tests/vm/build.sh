#!/bin/sh
# Make the virtual machine's disk (Debian 12 with this tree installed), kernel and initial ram disk in build/vm.
# The disk is made again when a package list or this file changes; the tree is installed on every run.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/vm
root=$out/root
mkdir -p "$out"
cd "$top"

packages="python3 python3-venv ca-certificates iproute2 util-linux kmod procps libnftables1 nftables crun conmon runc tini \
  etcd-server docker-registry busybox-static linux-image-cloud-amd64"
stamp=$(cat tests/vm/build.sh | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]; then
  rm -rf "$root"
  echo "making a Debian root file system"
  # shellcheck disable=SC2086  # a list of words is meant
  mmdebstrap --quiet --variant=minbase --include="$(echo $packages | tr -s ' ' ',')" bookworm "$root"
  for settings in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    test ! -e "$settings" || cp "$settings" "$root$settings"
  done
  echo "$stamp" > "$out/stamp"
fi

echo "installing this tree"
rm -rf "$root/src" && mkdir -p "$root/src"
git ls-files | tar -cf - -T - | tar -xf - -C "$root/src"
cp -r build/images "$root/src/images"
test -x "$root/opt/shoal/venv/bin/python" || chroot "$root" python3 -m venv /opt/shoal/venv
mount --bind /proc "$root/proc"
trap 'umount "$root/proc"' EXIT
chroot "$root" /opt/shoal/venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade /src
umount "$root/proc"
trap - EXIT
install -m 755 tests/vm/init.sh "$root/vminit"

kernel=$(ls "$root"/boot/vmlinuz-* | sort -V | tail -n 1)
version=${kernel##*/vmlinuz-}
cp "$kernel" "$out/vmlinuz"
ram=$out/initramfs
rm -rf "$ram" && mkdir -p "$ram/bin" "$ram/modules" "$ram/proc" "$ram/dev" "$ram/disk" "$ram/layer" "$ram/new"
cp /bin/busybox "$ram/bin/busybox"
for name in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk overlay; do
  find "$root/lib/modules/$version" -name "$name.ko" -exec cp {} "$ram/modules/" \;
done
install -m 755 tests/vm/initramfs-init "$ram/init"
(cd "$ram" && find . | cpio --quiet -o -H newc | gzip -1) > "$out/initramfs.gz"

rm -f "$out/root.img"
truncate -s 3G "$out/root.img"
mke2fs -q -t ext4 -d "$root" "$out/root.img"
