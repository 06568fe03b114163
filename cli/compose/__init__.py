"""The service YAML: Compose files, read, checked and turned into specs. `project.load` is the way in."""
