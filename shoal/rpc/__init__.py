"""How the programs speak with each other: gRPC over mutual TLS."""
