"""Client of registries that speak the OCI distribution protocol."""

import sys

# httpx imports a command line of its own where rich is installed: 30 ms and 5 MB for nobody. None keeps a module from
# being imported, and httpx does without it.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
