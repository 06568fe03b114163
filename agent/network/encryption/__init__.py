"""Encrypted networks: WireGuard tunnels between nodes."""
