"""Client of registries that speak the OCI distribution protocol."""
