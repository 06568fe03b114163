"""Communication between the programs: gRPC over mutual TLS."""
