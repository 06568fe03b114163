"""Boots the virtual machine that build.sh made, shows what it says, and ends with its verdict.

Software emulation: some 10 times slower than the machine below, so for correctness only.
"""

import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "vm"
MINUTES = 20


def command() -> list[str]:
    """QEMU with a read-only disk, a serial line, and nothing else: no network leads out of it."""
    return [
        "qemu-system-x86_64",
        *("-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "4096"),
        *("-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot", "-nic", "none"),
        *("-kernel", str(BUILD / "vmlinuz"), "-initrd", str(BUILD / "initramfs.gz")),
        *("-append", "console=ttyS0 quiet panic=-1 mitigations=off nokaslr tsc=reliable"),
        *("-drive", f"file={BUILD / 'root.img'},if=none,id=disk,format=raw,readonly=on"),
        *("-device", "virtio-blk-pci,drive=disk"),
    ]


def main() -> None:
    last = ""
    with subprocess.Popen(
        ["timeout", f"{MINUTES}m", *command()],
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
    sys.exit(0 if last.strip().endswith(" 0 failed") else 1)


if __name__ == "__main__":
    main()
