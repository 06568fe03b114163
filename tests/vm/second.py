"""The second of two virtual machines: joins the first one's cluster, and does what that one asks by HTTP.

`POST /` with a list of words runs a program, and answers its exit code and output as JSON. It believes whoever is at
the other end of the cable, which leads nowhere else.
"""

import json
import os
import subprocess
import sys
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.vm.cluster import COMMAND_SECONDS, until

ADDRESS, FIRST = "198.18.0.12", "198.18.0.1"
PORT = 9000
"""Of both: the first one's says how to join, the second one's follows."""
LOG = Path("/run/agent.log")
DIRECTORY = Path("/var/lib/second")


def fetched(name: str) -> bytes | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{FIRST}:{PORT}/{name}", timeout=5) as answer:
            body: bytes = answer.read()
            return body
    except OSError:
        return None


class Agent:
    """This machine's."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, choice: str) -> None:
        """Anew, with this choice of what to encrypt by."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(60)
        command = [
            *(str(Path(sys.executable).parent / "shoal-agent"), "run", "--join", f"{FIRST}:7442"),
            *("--token-file", str(DIRECTORY / "token"), "--registries-file", str(DIRECTORY / "registries.toml")),
            *("--hostname", "h2", "--advertise-address", ADDRESS, "--overlay-encryption", choice),
        ]
        with LOG.open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


AGENT = Agent()


class Orders(BaseHTTPRequestHandler):
    """One request at a time."""

    def do_POST(self) -> None:
        words: list[str] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if words[0] == "agent":
            AGENT.start(words[1])
            said = {"code": 0, "output": ""}
        else:
            done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)
            said = {"code": done.returncode, "output": done.stdout + done.stderr}
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's word
        """Nothing: the serial line is for verdicts."""


def main() -> None:
    for line in (f"addr add {ADDRESS}/24 dev eth0", "link set eth0 up"):
        subprocess.run(["ip", *line.split()], check=True)
    DIRECTORY.mkdir(parents=True)
    for name in ("token", "registries.toml"):
        file = DIRECTORY / name
        file.touch(mode=0o600)
        file.write_bytes(until(lambda name=name: fetched(name), name) or b"")  # type: ignore[misc]
    os.environ["HOME"] = "/run"
    AGENT.start("auto")
    HTTPServer((ADDRESS, PORT), Orders).serve_forever()


if __name__ == "__main__":
    main()
