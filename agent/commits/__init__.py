"""Commits: what a container has changed, as a layer in the cluster's image repository."""
