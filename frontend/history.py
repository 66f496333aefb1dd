"""What became of the latest requests, for who asks afterwards."""

from collections import OrderedDict
from dataclasses import dataclass

from core.deployment import ComponentRun
from core.errors import NotFoundError

REMEMBERED = 1000
"""Requests; the oldest are forgotten first."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of one request.

    Attributes:
        request_id: the caller's, or a new one.
        deployment: its name.
        version: of the deployment that answered; 0 where none did.
        waited_seconds: until the request was sent on its way.
        seconds: from then to the last output's arrival, or to the error.
        runs: one per component, on the clock of ``seconds``; empty where the request failed.
        error: why it failed; empty where it was answered.
    """

    request_id: str
    deployment: str
    version: int
    waited_seconds: float
    seconds: float
    runs: tuple[ComponentRun, ...] = ()
    error: str = ""


class History:
    """The reports of the latest requests, by their ids."""

    def __init__(self) -> None:
        self._reports: OrderedDict[str, Report] = OrderedDict()

    def add(self, report: Report) -> None:
        """Remember a report; an earlier one with its id is forgotten."""
        self._reports.pop(report.request_id, None)
        self._reports[report.request_id] = report
        if len(self._reports) > REMEMBERED:
            self._reports.popitem(last=False)

    def find(self, request_id: str) -> Report:
        """The report of a request, by the beginning of its id; that of the latest one, where the id is empty.

        Raises:
            NotFoundError: none is remembered.
        """
        found = next((one for name, one in reversed(self._reports.items()) if name.startswith(request_id)), None)
        if found is None:
            what = f"no request {request_id!r}" if request_id else "no request"
            raise NotFoundError(
                f"{what} is remembered here; the last {REMEMBERED} of each FrontEnd are, until it stops"
            )
        return found
