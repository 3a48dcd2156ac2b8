"""How fast a stage goes through media, how much of it was there already, and how much cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

_HOUR_SECONDS = 3600.0


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """One stage's numbers so far. Rates are of what was worked on since the stage began, not of what was cached."""

    num_done: int
    num_total: int
    num_cached: int = 0
    """done before, and found again"""
    num_quarantined: int = 0
    """cannot be used; noted with the reason"""
    media_seconds: float = 0.0
    """of the clips worked on, as long as they play"""
    elapsed_seconds: float = 0.0
    gpu_percent: float | None = None
    """how busy the GPU was when it was looked at last; None where there is none"""

    @property
    def clips_per_second(self) -> float:
        return self._each_second(self.num_done - self.num_cached)

    @property
    def hours_per_hour(self) -> float:
        """Hours of media in an hour of work."""
        return self._each_second(self.media_seconds)

    @property
    def share_done(self) -> float:
        return self.num_done / self.num_total if self.num_total else 1.0

    @property
    def share_cached(self) -> float:
        return self.num_cached / self.num_done if self.num_done else 0.0

    @property
    def share_quarantined(self) -> float:
        return self.num_quarantined / self.num_done if self.num_done else 0.0

    @property
    def seconds_left(self) -> float | None:
        """At the rate so far; None where there is none yet."""
        rate = self.clips_per_second
        return (self.num_total - self.num_done) / rate if rate > 0 else None

    def metrics(self) -> dict[str, float]:
        """By name, shares as they are (0 to 1)."""
        numbers = {
            "clips_done": float(self.num_done),
            "clips_per_second": self.clips_per_second,
            "hours_per_hour": self.hours_per_hour,
            "share_done": self.share_done,
            "share_cached": self.share_cached,
            "share_quarantined": self.share_quarantined,
        }
        return numbers if self.gpu_percent is None else numbers | {"gpu_percent": self.gpu_percent}

    def __str__(self) -> str:
        parts = [f"{self.clips_per_second:.2f} clips/s", f"{self.hours_per_hour:.2f} h/h"]
        parts += [f"{100 * self.share_cached:.0f} % cached", f"{100 * self.share_quarantined:.1f} % quarantined"]
        parts += [] if self.gpu_percent is None else [f"GPU {self.gpu_percent:.0f} %"]
        left = self.seconds_left
        if left is not None and self.num_done < self.num_total:
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)

    def _each_second(self, amount: float) -> float:
        return amount / self.elapsed_seconds if self.elapsed_seconds > 0 else 0.0


def _duration(seconds: float) -> str:
    """As `3:20` minutes, or `12.5 h`."""
    if seconds >= _HOUR_SECONDS:
        return f"{seconds / _HOUR_SECONDS:.1f} h"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
