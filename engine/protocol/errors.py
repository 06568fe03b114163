"""Errors as Docker's clients get them: status codes by kind, and `{"message": …}`. Pure."""

from collections.abc import Mapping
from http import HTTPStatus

from shoal import errors
from shoal.errors import ShoalError

_STATUS: Mapping[type[ShoalError], HTTPStatus] = {
    errors.InvalidInput: HTTPStatus.BAD_REQUEST,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.AlreadyExists: HTTPStatus.CONFLICT,
    errors.Conflict: HTTPStatus.CONFLICT,
    errors.Refused: HTTPStatus.CONFLICT,
    errors.Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.PermissionDenied: HTTPStatus.FORBIDDEN,
    errors.Exhausted: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Timeout: HTTPStatus.INTERNAL_SERVER_ERROR,
}


class ApiError(ShoalError):
    """An error with a status code of its own.

    Attributes:
        status: of the answer.
    """

    def __init__(self, status: HTTPStatus, message: str) -> None:
        self.status = status
        super().__init__(message)


class NotModified(ApiError):
    """It is so already: 304, without a body."""

    def __init__(self) -> None:
        super().__init__(HTTPStatus.NOT_MODIFIED, "")


def bad_request(message: str) -> ApiError:
    """400: the request is not valid."""
    return ApiError(HTTPStatus.BAD_REQUEST, message)


def not_found(message: str) -> ApiError:
    """404: no such object."""
    return ApiError(HTTPStatus.NOT_FOUND, message)


def conflict(message: str) -> ApiError:
    """409: its state does not admit that."""
    return ApiError(HTTPStatus.CONFLICT, message)


def not_implemented(message: str) -> ApiError:
    """501: the operation does not exist here; the text says why."""
    return ApiError(HTTPStatus.NOT_IMPLEMENTED, message)


def page_not_found() -> ApiError:
    """404: no such path, or not with this method."""
    return ApiError(HTTPStatus.NOT_FOUND, "page not found")


def status_of(error: ShoalError) -> HTTPStatus:
    """The status code of an error; its nearest listed base decides."""
    if isinstance(error, ApiError):
        return error.status
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), HTTPStatus.INTERNAL_SERVER_ERROR)


def error_in_stream(message: str) -> dict[str, object]:
    """The last object of a stream of JSON that fails after its head was sent."""
    return {"errorDetail": {"message": message}, "error": message}
