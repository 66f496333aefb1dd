"""What the host of a virtual machine takes: processor time that was asked for here and not given."""

import psutil


class StolenTime:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._stolen, self._used = _seconds()

    @property
    def share(self) -> float:
        """Of the processor time that all programs here asked for; 0 where the system does not tell."""
        stolen, used = _seconds()
        stolen, used = stolen - self._stolen, used - self._used
        return stolen / (stolen + used) if stolen else 0.0


def _seconds() -> tuple[float, float]:
    """Stolen, and used, of all processors since the machine started."""
    times = psutil.cpu_times()
    used = ("user", "nice", "system", "irq", "softirq")
    return getattr(times, "steal", 0.0), sum(getattr(times, name, 0.0) for name in used)
