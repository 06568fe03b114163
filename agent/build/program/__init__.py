"""The program of one build: from a Dockerfile and a context to layers and an image."""
