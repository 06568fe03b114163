#!/bin/sh
# The virtual machine's first process: a host with cgroup version 2, as production has it, then the test, then off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
# Root is an overlay here, and an overlay cannot be the upper side of another: what agents write goes to memory.
mount -t tmpfs tmpfs /var/lib
mount -t tmpfs tmpfs /tmp
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo "+cpu +memory +pids +io +cpuset" > /sys/fs/cgroup/cgroup.subtree_control
modprobe -a overlay veth bridge vxlan nf_tables nft_chain_nat nft_nat nft_numgen nft_ct nft_masq nft_fib_ipv4 nft_reject_ipv4
ip link set lo up
cd /src && /opt/shoal/venv/bin/python -m tests.vm.inside
echo "exit code $?"
echo o > /proc/sysrq-trigger
sleep 60
