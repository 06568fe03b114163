"""Logins of registries, as Docker keeps them."""
