"""Requests that are refused, and how that is said."""

from collections.abc import Mapping
from dataclasses import dataclass

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


def refused(
    status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None
) -> JSONResponse:
    """The answer to a request that is not done."""
    return JSONResponse(Refused(Fault(message, hint)).to_dict(), status, headers)
