"""Builds of images: routed to a node, which builds; named here."""
