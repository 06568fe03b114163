"""HTTP of the console: who asks, from where, and the pages' files."""
