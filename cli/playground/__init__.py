"""A local cluster for trying and for tests."""
