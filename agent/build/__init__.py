"""Builds of images on this host: each in a program of its own."""
