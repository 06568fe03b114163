"""Headers of every answer, and what the engine calls itself.

Clients read the operating system out of `Server`, and compare versions with Docker's; so both have Docker's form.
"""

from collections.abc import Mapping

from engine.protocol.versions import NEWEST

ENGINE_VERSION = "28.2.2"
"""The version of Docker that the API is that of."""

SERVER_HEADERS: Mapping[str, str] = {
    "Api-Version": str(NEWEST),
    "Docker-Experimental": "false",
    "Ostype": "linux",
    "Server": f"Docker/{ENGINE_VERSION} (linux)",
}
