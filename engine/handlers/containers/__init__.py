"""The operations on containers, their streams and commands in them."""
