"""Containers on one host: OCI bundles, the start path, supervision, logs and cgroups."""
