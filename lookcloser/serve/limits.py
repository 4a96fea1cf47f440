"""What a server takes, and from whom."""

from __future__ import annotations

from dataclasses import dataclass

from lookcloser.core.errors import UsageError


@dataclass(frozen=True)
class Limits:
    """Bounds of one request, and of all together.

    Attributes:
        body: Bytes of a request's body.
        held: Bytes of all bodies that are being read or answered.
        pixels: Width × height of an image, known before it is decoded.
        images: Of one request.
        queue: Images of one model that wait or are worked on; beyond it requests are turned away.
        batch: Images of a forward pass.
        wait: Seconds that a batch waits for images that are being decoded.
        decoders: Threads that decode images.
        seconds: That reading a body may take, and again answering it.
        header_seconds: That a client has to send the header of a request.
        connections: Open at a time.

    Raises:
        UsageError: For bounds that exclude each other.
    """

    body: int = 32 * 2**20
    held: int = 256 * 2**20
    pixels: int = 50_000_000
    images: int = 32
    queue: int = 256
    batch: int = 16
    wait: float = 0.005
    decoders: int = 2
    seconds: float = 30.0
    header_seconds: float = 10.0
    connections: int = 512

    def __post_init__(self) -> None:
        if self.images > self.queue:
            raise UsageError(
                f"images = {self.images}: a request could never be taken by a queue of "
                f"{self.queue}",
                fix="Raise --max-queue, or lower --max-images",
            )
        if self.body > self.held:
            object.__setattr__(self, "held", self.body)


@dataclass(frozen=True)
class Access:
    """Who may ask, and where images may be fetched from.

    Attributes:
        key: That requests have to give; None asks for none.
        hosts: Names that the Host header may give, without ports; None takes any.
        files: The folder that "/data/local-files/?d=…" is looked up in; None refuses it.
        label_studio: The address of a Label Studio whose uploads may be fetched; None refuses them.
        label_studio_key: For it.
    """

    key: str | None = None
    hosts: frozenset[str] | None = None
    files: str | None = None
    label_studio: str | None = None
    label_studio_key: str | None = None
