"""Everything that crosses a namespace's interfaces, written to a file until the standard input ends (packet(7))."""

import select
import socket
import sys
from pathlib import Path

_ETH_P_ALL = 0x0003


def main(file: Path) -> None:
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    packets.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    print("capturing", flush=True)
    with file.open("wb") as out:
        over = False
        while not over:
            ready, _, _ = select.select([packets, sys.stdin], [], [])
            over = sys.stdin in ready
            while select.select([packets], [], [], 0)[0]:
                out.write(packets.recv(65536))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
