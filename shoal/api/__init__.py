"""The API of the programs, generated from proto/."""
