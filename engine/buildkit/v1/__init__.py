"""Generated code of proto/engine/buildkit/v1: what is spoken of BuildKit's API."""
