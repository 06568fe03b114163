"""Streams of which each answer stands for itself."""

from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class RepeatedRequest(Generic[Q, A]):
    """The same request again; every answer is new."""

    def __init__(self, request: Q) -> None:
        self._request = request

    def request(self) -> Q:
        return self._request

    def unseen(self, answer: A) -> A | None:
        return answer
