"""`shoal-engine`: Docker's Engine API, served for a whole cluster by a client of its managers."""
