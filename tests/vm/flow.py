"""Traffic between two containers that reports what it lost: datagrams, and lines on one TCP connection.

python -m tests.vm.flow serve            answers at port 7000 until its standard input ends
python -m tests.vm.flow send ADDRESS     sends every 50 ms until its standard input ends; prints what came back, as JSON
"""

import json
import select
import socket
import sys
import time

PORT = 7000
PACE_SECONDS = 0.05


def serve() -> None:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("", PORT))
    listener = socket.create_server(("", PORT))
    connections: list[socket.socket] = []
    while True:
        ready, _, _ = select.select([sys.stdin, datagrams, listener, *connections], [], [])
        if sys.stdin in ready:
            return
        if datagrams in ready:
            datagrams.sendto(*datagrams.recvfrom(2048))
        if listener in ready:
            connections.append(listener.accept()[0])
        for each in [each for each in connections if each in ready]:
            if data := each.recv(2048):
                each.sendall(data)
            else:
                connections.remove(each)


def send(address: str) -> dict[str, object]:
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.connect((address, PORT))
    connection = socket.create_connection((address, PORT), timeout=30)
    sent, came, lines, longest = 0, set[int](), b"", 0.0
    heard = time.monotonic()
    over_at = float("inf")
    next_at = time.monotonic()
    while time.monotonic() < over_at:
        if time.monotonic() >= next_at and over_at == float("inf"):
            sent, next_at = sent + 1, next_at + PACE_SECONDS
            datagrams.send(sent.to_bytes(4, "big"))
            connection.sendall(b"%d\n" % sent)
        sources = [datagrams, connection] + ([sys.stdin] if over_at == float("inf") else [])
        ready, _, _ = select.select(sources, [], [], 0.01)
        if datagrams in ready:
            came.add(int.from_bytes(datagrams.recv(2048), "big"))
            longest, heard = max(longest, time.monotonic() - heard), time.monotonic()
        if connection in ready:
            lines += connection.recv(65536)
        if sys.stdin in ready:
            over_at = time.monotonic() + 5  # what is still under way
    whole = lines == b"".join(b"%d\n" % number for number in range(1, sent + 1))
    return {"sent": sent, "lost": sent - len(came), "longest_gap": round(longest, 2), "connection_is_whole": whole}


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        print(json.dumps(send(sys.argv[2])))
