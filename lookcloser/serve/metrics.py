"""Counters for Prometheus; no name of a file, a class or a client is in them."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        to = self.registry
        self.requests = Counter(
            "lookcloser_requests", "Answered requests.", ["route", "status"], registry=to
        )
        self.seconds = Histogram(
            "lookcloser_request_seconds",
            "From the header of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=to,
        )
        self.images = Counter(
            "lookcloser_images", "Images by outcome.", ["model", "outcome"], registry=to
        )
        self.batches = Histogram(
            "lookcloser_batch_images",
            "Images of a forward pass.",
            ["model"],
            buckets=_SIZES,
            registry=to,
        )
        self.waiting = Gauge(
            "lookcloser_waiting_images",
            "Images that wait or are worked on.",
            ["model"],
            registry=to,
        )
        self.held = Gauge("lookcloser_held_bytes", "Bytes of bodies in memory.", registry=to)
        self.reloads = Counter(
            "lookcloser_reloads",
            "Replaced model files by outcome.",
            ["model", "outcome"],
            registry=to,
        )
        self.stale = Gauge(
            "lookcloser_model_stale",
            "1 where the file was replaced by one that cannot be loaded.",
            ["model"],
            registry=to,
        )

    def text(self) -> bytes:
        """All of them, in Prometheus' text format."""
        return generate_latest(self.registry)
