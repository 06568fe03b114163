"""Encrypted networks: WireGuard or IPsec ESP tunnels between nodes."""
