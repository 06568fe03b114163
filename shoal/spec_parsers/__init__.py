"""Docker's notations for parts of specs, parsed. Errors name neither flags nor keys of files."""
