"""Confinement of containers beside namespaces: system call filters and AppArmor profiles."""
