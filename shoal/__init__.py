"""What all three programs share."""

import os

# gRPC's core reads these when it is first imported, which the generated stubs do: so they are set before any of them.
# It resolves names as every other program on the host does (getaddrinfo: /etc/hosts, nsswitch.conf). Its own log lines
# are off: each failure arrives as a status, and is reported with texts of our own. Its fork handlers are off:
# programs are started by fork and exec at once, nothing goes on in a fork.
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
