"""BuildKit's notations for builds, parsed."""
