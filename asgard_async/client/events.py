"""The events of a job that is being followed."""

from datetime import datetime

import msgspec

from asgard_async.client.jobs import Record, Status


class StatusEvent(Record, frozen=True, kw_only=True):
    """The job's current status and phase; `queue_position` is set while it is queued."""

    status: Status
    phase: str
    queue_position: int | None = None


class LogEvent(Record, frozen=True, kw_only=True):
    """Bytes `offset` to `next` of the log, exactly as the job wrote them."""

    offset: int
    next: int
    data: bytes
    time: datetime | None = None
    """The time at which the bytes were written, if known."""

    @property
    def text(self) -> str:
        """The bytes as text; invalid UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


class GapEvent(Record, frozen=True, kw_only=True):
    """Bytes `offset` to `next` were dropped: the log is too large, or its reader too slow."""

    offset: int
    next: int


class EndEvent(Record, frozen=True, kw_only=True):
    """The job has finished and its log is complete. This is the last event."""

    status: Status
    reason: str | None = None
    exit_code: int | None = None
    run_id: str | None = None
    model_version: str | None = None
    offset: int
    log_kept: bool = True
    """False if the log is no longer stored: there were no log events for that reason."""


Event = StatusEvent | LogEvent | GapEvent | EndEvent


class LogFrame(Record, frozen=True, kw_only=True):
    """A LogEvent as the service sends it: text, with invalid UTF-8 replaced by U+FFFD."""

    offset: int
    next: int
    data: str
    time: datetime | None = None


Frame = StatusEvent | LogFrame | GapEvent | EndEvent


class _Kind(msgspec.Struct):
    type: str


_kind = msgspec.json.Decoder(_Kind)
_decoders: dict[str, msgspec.json.Decoder[Frame]] = {
    name: msgspec.json.Decoder(kind)
    for name, kind in (
        ("status", StatusEvent),
        ("log", LogFrame),
        ("gap", GapEvent),
        ("end", EndEvent),
    )
}


def read_frame(frame: str | bytes) -> Frame | None:
    """Decode a frame of the stream; None for a type that this version does not know.

    Raises:
        msgspec.DecodeError: the text is not a frame.
    """
    decoder = _decoders.get(_kind.decode(frame).type)
    return None if decoder is None else decoder.decode(frame)
