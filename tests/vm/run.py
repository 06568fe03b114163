"""Boots the virtual machine that build.sh made, shows what it says, and ends with its verdict.

    python -m tests.vm.run [CHECKS …]      each a boot with these groups of checks, e.g. `main,encryption systemd`

Software emulation: some 10 times slower than the machine below, so for correctness only.
"""

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "vm"
MINUTES = 20
BOOTS = ("main,encryption,faults", "systemd")


def command(checks: str) -> list[str]:
    """QEMU with read-only disks, a serial line, and nothing else: no network leads out of it."""
    return [
        "qemu-system-x86_64",
        *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "4096"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"),
        *("-kernel", str(BUILD / "vmlinuz"), "-initrd", str(BUILD / "initramfs.gz")),
        *("-append", f"console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable shoal.checks={checks}"),
        *_disk("root", "root.img"),
        *_disk("tree", "tree.tar"),
    ]


def _disk(name: str, file: str) -> tuple[str, ...]:
    drive = f"file={BUILD / file},if=none,id={name},format=raw,readonly=on"
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={name}")


def boot(checks: str) -> bool:
    """One boot to its end; whether every check passed."""
    print(f"== {checks}", flush=True)
    last = ""
    with subprocess.Popen(
        ["timeout", f"{MINUTES}m", *command(checks)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as machine:
        assert machine.stdout is not None
        for line in machine.stdout:
            print(line, end="", flush=True)
            if " passed, " in line:
                last = line
    return last.strip().endswith(" 0 failed")


def main(boots: list[str]) -> None:
    verdicts = list(map(boot, boots or BOOTS))
    sys.exit(0 if all(verdicts) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
