"""RUN: the spec, mounts, network, the OCI runtime."""
