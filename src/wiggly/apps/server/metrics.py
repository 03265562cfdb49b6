"""What a server counts, in the form that Prometheus reads.

In: events. Out: the text of `/metrics`. Each server has a registry of its own. Read next: `around.py`, which
counts requests; `worker.py`, which tells of batches.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

__all__ = ["Metrics"]

SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
SIZES = (1, 2, 4, 8, 16, 32, 64, 256, 1024)


class Metrics:
    """Counters of one server.

    Example:
        >>> metrics = Metrics()
        >>> metrics.answered("/v1/predict", "POST", 200, 0.012)
        >>> b'wiggly_requests_total{method="POST",route="/v1/predict",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "wiggly_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "wiggly_request_seconds",
            "From the first byte of a request to the last of its response.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._batches = Histogram(
            "wiggly_batch_size",
            "Items that went through the model together.",
            buckets=SIZES,
            registry=self.registry,
        )
        self._model = Histogram(
            "wiggly_model_seconds", "Of one pass through the model.", buckets=SECONDS, registry=self.registry
        )
        self._waiting = Gauge("wiggly_queue_length", "Requests in work or waiting.", registry=self.registry)
        ProcessCollector(registry=self.registry)

    def answered(self, route: str, method: str, status: int, seconds: float) -> None:
        """A request was answered.

        Args:
            route: Its template, so that there are few of them.
            method: In capitals.
            status: Of the response.
            seconds: It took.
        """
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, size: int) -> None:
        """Items went through the model."""
        self._batches.observe(size)

    def ran(self, seconds: float) -> None:
        """A pass through the model took so long."""
        self._model.observe(seconds)

    def waiting(self, count: int) -> None:
        """So many requests are in work or waiting."""
        self._waiting.set(count)

    def text(self) -> bytes:
        """What `/metrics` shows."""
        return generate_latest(self.registry)
