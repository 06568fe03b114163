"""Progress of a build as BuildKit draws it: over itself on a terminal, in lines elsewhere, or as JSON."""
