"""Boots the virtual machine that build.sh made, shows what it says, and ends with its verdict.

    python -m tests.vm.run [CHECKS …]      each a boot with these groups of checks, e.g. `main,encryption systemd`

`reboot` is one machine that boots several times, with a disk that survives. `two` are two machines with a cable
between them; what the second one says is in build/vm/second.log.

With the processor's virtualization (/dev/kvm) the machine runs at full speed. Elsewhere it is emulated, some 10 times
slower, which is good for correctness only. `SHOAL_VM_ACCELERATOR=tcg` emulates it in any case.
"""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.vm.power import POWER_OFF, STAGES

BUILD = Path(__file__).parents[2] / "build" / "vm"
MINUTES = 180
"""For a boot: an emulated machine beside other work takes a multiple of what it takes alone."""
DISK_BYTES = 3 << 30
BOOTS = ("main,confinement,encryption,faults", "esp", "two", "systemd", "managers", "operations", "reboot")
TWO, SECOND, REBOOT = "two", "second", "reboot"
MEGABYTES = {TWO: 1024, SECOND: 512}
"""Of memory; what is not named has room for all that the checks write to memory."""


def command(checks: str, cable: int | None = None) -> list[str]:
    """QEMU with read-only disks, a serial line, and nothing else: no network leads out of it.

    Args:
        cable: descriptor of a socket that a network card is plugged into; None without a card.
    """
    number = 2 if checks == SECOND else 1
    card = f"virtio-net-pci,netdev=cable,mac=52:54:00:00:00:{number:02x}"
    plugged = ("-netdev", f"socket,id=cable,fd={cable}", "-device", card)
    memory = str(MEGABYTES.get(checks, 4096))
    return [
        "qemu-system-x86_64",
        *("-M", "q35", *accelerator(), "-smp", "2", "-m", memory),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot"),
        *(plugged if cable is not None else ("-nic", "none")),
        *("-kernel", str(BUILD / "vmlinuz"), "-initrd", str(BUILD / "initramfs.gz")),
        *(
            "-append",
            f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable {clock()}shoal.checks={checks}",
        ),
        *_disk("root", "root.img"),
        *_disk("tree", "tree.tar"),
        *(_disk("data", "data.img", writable=True) if checks == REBOOT else ()),
    ]


def accelerator() -> tuple[str, ...]:
    """The kernel's virtual machines, if the processor has them and this user may; else emulation.

    There is a /dev/kvm without the processor's help (KVM's PVM) that boots no kernel of Debian's.
    """
    flags = set(Path("/proc/cpuinfo").read_text().split())
    usable = bool({"vmx", "svm"} & flags) and os.access("/dev/kvm", os.R_OK | os.W_OK)
    chosen = os.environ.get("SHOAL_VM_ACCELERATOR") or ("kvm" if usable else "tcg")
    return ("-accel", "kvm", "-cpu", "host") if chosen == "kvm" else ("-accel", "tcg,thread=multi", "-cpu", "max")


def clock() -> str:
    """The kernel's option for the frequency of its clock, which an emulated processor has from this one. A busy machine
    lets the kernel measure it wrongly, by a factor of 20 once, and all times in the machine with it.
    """
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    megahertz = next((line.partition(":")[2] for line in lines if line.startswith("cpu MHz")), "")
    constant = any("constant_tsc" in line for line in lines)
    return f"tsc_early_khz={round(float(megahertz) * 1000)} " if megahertz and constant else ""


def _disk(name: str, file: str, *, writable: bool = False) -> tuple[str, ...]:
    mode = "off" if writable else "on"
    drive = f"file={BUILD / file},if=none,id={name},format=raw,readonly={mode},file.locking=off"
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={name}")


@contextmanager
def second(cable: socket.socket) -> Iterator[None]:
    """The other machine, as long as the first one works."""
    descriptor = cable.fileno()
    with (BUILD / "second.log").open("wb") as log:
        machine = subprocess.Popen(
            command(SECOND, descriptor), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(descriptor,)
        )
    try:
        yield
    finally:
        machine.kill()
        machine.wait()


def boot(checks: str) -> bool:
    """One boot to its end; whether every check passed."""
    print(f"== {checks}", flush=True)
    last = ""
    near, far = socket.socketpair()
    has_cable = checks == TWO
    with (
        near,
        far,
        second(far) if has_cable else nullcontext(),
        subprocess.Popen(
            ["timeout", f"{MINUTES}m", *command(checks, near.fileno() if has_cable else None)],
            pass_fds=(near.fileno(),),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as machine,
    ):
        assert machine.stdout is not None
        for line in machine.stdout:
            print(line, end="", flush=True)
            if " passed, " in line:
                last = line
            if line.startswith(POWER_OFF):
                end(machine.pid)
    return last.strip().endswith(" 0 failed")


def end(timeout: int) -> None:
    """As a failure of its power ends the machine: what it has not written to its disks is lost."""
    for child in Path(f"/proc/{timeout}/task/{timeout}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)


def boot_again_and_again() -> bool:
    """Boots of one machine whose disk survives them."""
    disk = BUILD / "data.img"
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(DISK_BYTES)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", str(disk)], check=True)
    return all(boot(REBOOT) for _ in STAGES)


def main(boots: list[str]) -> None:
    verdicts = [boot_again_and_again() if each == REBOOT else boot(each) for each in boots or BOOTS]
    sys.exit(0 if all(verdicts) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
