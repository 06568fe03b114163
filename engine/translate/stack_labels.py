"""Stacks of Docker's clients, which are a label, and stacks of the cluster, which are a field of specs. Pure."""

import re
from collections.abc import Mapping

STACK_LABEL = "com.docker.stack.namespace"

_STACK = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?")


def stack_of(labels: Mapping[str, str]) -> str:
    """The stack of an object with these labels; empty outside a stack, and where its name is none for the cluster."""
    stack = labels.get(STACK_LABEL, "")
    return stack if _STACK.fullmatch(stack) else ""


def stack_of_service(labels: Mapping[str, str], name: str) -> str:
    """As `stack_of`; a service of a stack has a name that begins with it, so another one is outside the stack."""
    stack = stack_of(labels)
    return stack if name.startswith(f"{stack}_") else ""


def with_stack(labels: Mapping[str, str], stack: str) -> dict[str, str]:
    """Labels, with that of the stack that the object belongs to."""
    return {**labels, STACK_LABEL: stack} if stack and STACK_LABEL not in labels else dict(labels)
