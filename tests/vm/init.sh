#!/bin/sh
# The virtual machine's first process: a host with cgroup version 2, as production has it, then the checks that the
# kernel's command line names (shoal.checks=main,encryption,…), then off. With "systemd" or "reboot", systemd takes over.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
checks=$(sed -n 's/.*shoal.checks=\([a-z,]*\).*/\1/p' /proc/cmdline)
# Root is an overlay here, and an overlay cannot be the upper side of another: what agents write goes to memory.
if [ "$checks" = systemd ] || [ "$checks" = reboot ]; then
  mkdir -p /var/lib/shoal
  if [ "$checks" = systemd ]; then
    mount -t tmpfs tmpfs /var/lib/shoal
  else # the disk that survives the machine
    modprobe -a dummy overlay
    ip link add lan0 type dummy && ip addr add 10.77.0.1/24 dev lan0 && ip link set lan0 up
    mount -t devtmpfs dev /dev
    mkdir -p /mnt && mount -t ext4 /dev/vdc /mnt && mkdir -p /mnt/shoal && mount --bind /mnt/shoal /var/lib/shoal
  fi
  cp /src/tests/vm/shoal-checks.service /etc/systemd/system/
  test "$checks" = systemd ||
    sed -i 's/under_systemd/reboot/; s|^Environment=HOME.*|& PYTHONPATH=/src|' /etc/systemd/system/shoal-checks.service
  mkdir -p /etc/systemd/system/multi-user.target.wants
  ln -sf /etc/systemd/system/shoal-checks.service /etc/systemd/system/multi-user.target.wants/
  # A login on the serial line would hang up on the checks, which speak there.
  ln -sf /dev/null /etc/systemd/system/serial-getty@.service
  exec /lib/systemd/systemd
fi
if [ "$checks" = managers ] || [ "$checks" = operations ]; then # their machines have layers over the first disk, too
  mount -t devtmpfs dev /dev
  ln -sf /proc/self/fd /dev/fd
fi
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# Images want room: half of a small memory, which is the usual bound, is not enough.
mount -t tmpfs -o size=90% tmpfs /var/lib
mount -t tmpfs tmpfs /tmp
mount -t securityfs securityfs /sys/kernel/security
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "+cpu +memory +pids +io +cpuset" > /sys/fs/cgroup/cgroup.subtree_control
modprobe -a virtio_net overlay veth bridge vxlan nf_tables nft_chain_nat nft_nat nft_numgen nft_ct nft_masq nft_fib_ipv4 nft_reject_ipv4
ip link set lo up
cd /src && PYTHONPATH=/src /opt/shoal/venv/bin/python -m tests.vm.inside "$checks"
echo "exit code $?"
echo o > /proc/sysrq-trigger
sleep 60
