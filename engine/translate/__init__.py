"""Docker's documents from the cluster's messages and back. Pure."""
