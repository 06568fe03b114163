"""BuildKit's messages from the cluster's and back. Pure."""
