"""From a container request to an OCI runtime spec."""
