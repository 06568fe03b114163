"""Builds of images as the command line asks for them: contexts, the call, what comes of it."""
