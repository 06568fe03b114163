"""Identities in a cluster: certificates, roles, join tokens."""
