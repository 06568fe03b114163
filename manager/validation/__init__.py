"""Rules for specs and requests: pure generators of faults."""
