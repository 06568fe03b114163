"""From a Dockerfile to steps: scopes of variables, bases of stages, what a target needs, the resulting configuration.
Pure: what images say of themselves comes from outside."""
