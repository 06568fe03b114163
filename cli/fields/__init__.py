"""Docker's field names of listings and inspected objects, for `--format` with a template."""
