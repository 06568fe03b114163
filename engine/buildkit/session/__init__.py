"""Sessions of BuildKit's clients: what the client serves while it builds."""
