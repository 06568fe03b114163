"""What all programs know about networks: modes, published ports, encryption, load balancing."""
