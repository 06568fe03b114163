#!/bin/sh
# Make the virtual machine's disk (Debian with what this tree needs), kernel, initial ram disk and a second disk with
# this tree in build/vm. The first disk is made again when this file, pyproject.toml or the release changes, the second on
# every run. RELEASE is Debian's: bookworm (12, if nothing is said) or trixie (13).
set -eu
release=${RELEASE:-bookworm}
top=$(cd "$(dirname "$0")/../.." && pwd)
out=$top/build/vm
root=$out/root
mkdir -p "$out"
cd "$top"

packages="python3 python3-venv ca-certificates iproute2 iputils-ping util-linux kmod procps libnftables1 nftables crun conmon \
  runc tini apparmor etcd-server docker-registry busybox-static systemd systemd-sysv systemd-container wireguard-tools linux-image-cloud-amd64"

# Compiled modules go along where they lie about: an emulated machine takes long to compile.
tree() {
  { git ls-files --cached --others --exclude-standard; find agent manager cli shoal -name '*.cpython-3*.pyc'; } |
    while read -r file; do test ! -e "$file" || echo "$file"; done | tar -cf "$1" -T - build/images build/vm/previous
}

# The release before this one, as a checkout of it; its version says which it is.
previous() {
  commit=$(cat tests/upgrade/PREVIOUS)
  rm -rf "$out/previous" && mkdir "$out/previous"
  sh tests/upgrade/previous_release.sh
  tar -xf "build/previous/source-$commit.tar" -C "$out/previous"
  sed -i "s/^version = \"\(.*\)\"/version = \"\1+$(echo "$commit" | cut -c1-8)\"/" "$out/previous/pyproject.toml"
}

make_root() {
  rm -rf "$root"
  echo "making a root file system of Debian $release"
  # shellcheck disable=SC2086  # a list of words is meant
  mmdebstrap --quiet --variant=minbase --include="$(echo $packages | tr -s ' ' ',')" "$release" "$root"
  for settings in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    test ! -e "$settings" || cp "$settings" "$root$settings"
  done
  echo "installing this tree with what it needs"
  mkdir -p "$root/src" "$root/images"
  tree - | tar -xf - -C "$root/src"
  chroot "$root" python3 -m venv /opt/shoal/venv
  mount --bind /proc "$root/proc"
  trap 'umount "$root/proc"' EXIT
  # hatchling, since the machine has no network when it installs the tree itself.
  chroot "$root" /opt/shoal/venv/bin/python -m pip install --quiet --disable-pip-version-check hatchling /src
  umount "$root/proc"
  trap - EXIT
  rm -rf "$root/src"/* "$root/etc/pip.conf"
}

make_ram_disk() {
  kernel=$(ls "$root"/boot/vmlinuz-* | sort -V | tail -n 1)
  version=${kernel##*/vmlinuz-}
  cp "$kernel" "$out/vmlinuz"
  ram=$out/initramfs
  rm -rf "$ram" && mkdir -p "$ram/bin" "$ram/modules" "$ram/proc" "$ram/dev" "$ram/disk" "$ram/layer" "$ram/new"
  cp /bin/busybox "$ram/bin/busybox"
  for name in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk overlay; do
    find "$root/lib/modules/$version" -name "$name.ko*" -exec cp {} "$ram/modules/" \;
  done
  find "$ram/modules" -name '*.xz' -exec xz -d {} +
  install -m 755 tests/vm/initramfs-init "$ram/init"
  (cd "$ram" && find . | cpio --quiet -o -H newc | gzip -1) > "$out/initramfs.gz"
}

previous
stamp=$release-$(cat tests/vm/build.sh tests/vm/initramfs-init pyproject.toml | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/stamp" 2>/dev/null)" != "$stamp" ]; then
  make_root
  make_ram_disk
  rm -f "$out/root.img"
  truncate -s 3G "$out/root.img"
  mke2fs -q -t ext4 -d "$root" "$out/root.img"
  echo "$stamp" > "$out/stamp"
fi
tree "$out/tree.tar"
# A disk has whole sectors.
truncate -s %512 "$out/tree.tar"
