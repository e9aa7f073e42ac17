"""What happens to a job while it is followed."""

from datetime import datetime

import msgspec

from asgard_async.client.jobs import Record, Status


class StatusEvent(Record, frozen=True, kw_only=True):
    """The job is in this status and phase now; `queue_position` is told while it is queued."""

    status: Status
    phase: str
    queue_position: int | None = None


class LogEvent(Record, frozen=True, kw_only=True):
    """Bytes `offset` up to `next` of the log, exactly as the job wrote them."""

    offset: int
    next: int
    data: bytes
    time: datetime | None = None
    """When they were written, where that is known."""

    @property
    def text(self) -> str:
        """The bytes as text; what is no UTF-8 becomes U+FFFD."""
        return self.data.decode("utf-8", "replace")


class GapEvent(Record, frozen=True, kw_only=True):
    """Bytes `offset` up to `next` are not kept: the job printed more than may be."""

    offset: int
    next: int


class EndEvent(Record, frozen=True, kw_only=True):
    """The job is final, and all of its log has been told. Nothing comes after this."""

    status: Status
    reason: str | None = None
    exit_code: int | None = None
    run_id: str | None = None
    model_version: str | None = None
    offset: int


Event = StatusEvent | LogEvent | GapEvent | EndEvent


class LogFrame(Record, frozen=True, kw_only=True):
    """A LogEvent as it is sent: as text, in which what is no UTF-8 became U+FFFD."""

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
    """What a frame of the stream says; None for a kind that only a newer client knows.

    Raises:
        msgspec.DecodeError: it is no frame.
    """
    decoder = _decoders.get(_kind.decode(frame).type)
    return None if decoder is None else decoder.decode(frame)
