"""Requests that are refused, and how that is said."""

from dataclasses import dataclass
from http import HTTPStatus

from starlette.responses import JSONResponse

from unifmir.json_values import JsonValues
from unifmir.zoo.serve.job_record import Fault


class RefusalError(Exception):
    """A request that is not done, with its status of HTTP.

    Parameters
    ----------
    status : int
    message : str
        What is wrong.
    hint : str
        What to do.
    """

    def __init__(self, status: int, message: str, hint: str) -> None:
        super().__init__(message)
        self.status = status
        self.fault = Fault(message, hint)


@dataclass(frozen=True, slots=True)
class Refused(JsonValues):
    """The answer to a request that is not done."""

    error: Fault


def refused(status: int, message: str, hint: str = "") -> JSONResponse:
    """The answer to a request that is not done."""
    asked = {"www-authenticate": 'Basic realm="unifmir", charset="UTF-8"'}
    return JSONResponse(
        Refused(Fault(message, hint)).to_dict(),
        status,
        asked if status == HTTPStatus.UNAUTHORIZED else None,
    )
