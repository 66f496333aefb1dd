"""The errors a user of Partita can meet.

Every message says what was wrong, with which value, and what to do about it. The class alone decides
which gRPC status the error travels as (see ``services/runtime/errors.py``).
"""


class PartitaError(Exception):
    """Base of every error that Partita raises on purpose."""


class InvalidArgumentError(PartitaError):
    """The caller asked for something that can never work; changing the input is the remedy."""


class InvalidModelError(InvalidArgumentError):
    """The bytes are not a model Partita can run: corrupt, not ONNX, unknown operator, or reaching outside."""


class InvalidTensorError(InvalidArgumentError):
    """An input's name, dtype, shape or byte count is not what the model declares."""


class InvalidDocumentError(InvalidArgumentError):
    """A problem, plan or profile file does not follow its format; the message begins with the place."""


class NotFoundError(PartitaError):
    """No model, plan, deployment, component or server has the given name."""


class FailedPreconditionError(PartitaError):
    """The request is well formed, but the system is not in a state that allows it."""


class InfeasiblePlanError(FailedPreconditionError):
    """No placement meets the limits; the message names the limit and the least attainable value."""


class TooLargeError(PartitaError):
    """A model, tensor or message exceeds a configured size, or more bytes arrived than were announced."""


class BusyError(PartitaError):
    """A queue or table is full; trying again later is the remedy.

    Attributes:
        retry_after_seconds: when to try again, where that is known.
    """

    def __init__(self, message: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CorruptDataError(PartitaError):
    """Stored or received bytes do not match their checksum."""


class ServerUnavailableError(PartitaError):
    """A server that the request needs cannot be reached; the message names it."""


class DeadlineExceededError(PartitaError):
    """The request's deadline passed before its answer was complete."""


class RequestCancelledError(PartitaError):
    """The caller, or a failure elsewhere, ended the request before its answer was complete."""


class InternalError(PartitaError):
    """A fault of Partita itself; the server's log has the details."""


ERROR_TYPES: dict[str, type[PartitaError]] = {
    error.__name__: error
    for error in (
        InvalidArgumentError,
        InvalidModelError,
        InvalidTensorError,
        InvalidDocumentError,
        NotFoundError,
        FailedPreconditionError,
        InfeasiblePlanError,
        TooLargeError,
        BusyError,
        CorruptDataError,
        ServerUnavailableError,
        DeadlineExceededError,
        RequestCancelledError,
        InternalError,
    )
}
"""Name → class, so that an error keeps its type across a process or network border."""
