"""What Docker calls the fields of listings and of inspected objects, for `--format` with a template."""
