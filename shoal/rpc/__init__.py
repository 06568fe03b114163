"""How the programs speak with each other: gRPC over mutual TLS.

gRPC's core reads its settings from the environment when it is first loaded, so they are set here, before any module of
this package imports it. Its own log lines are off: every failure reaches us as a status, which we tell in our words.
Its fork handlers are off: we start programs (fork and exec at once), we never fork to go on.
"""

import os

os.environ.setdefault("GRPC_VERBOSITY", "NONE")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
