"""Command line options with a format of their own: labels and generic resources."""
