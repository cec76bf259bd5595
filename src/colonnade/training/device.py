"""Where networks are trained: the device, and the number of threads."""

from __future__ import annotations

__all__ = ["choose_device", "use_threads"]

import os

from colonnade.errors import ConfigError


def choose_device(wanted: str) -> str:
    """Return the device that torch is to use.

    Parameters
    ----------
    wanted
        ``cpu``, ``cuda``, ..., or ``auto``: ``cuda`` where there is one.

    Raises
    ------
    ConfigError
        If the device can't be used here.
    """
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        msg = f"--device {wanted} can't be used here: {str(error).splitlines()[0].rstrip('.')}."
        raise ConfigError(msg) from error
    return wanted


def use_threads(wanted: int | None) -> int:
    """Let torch use so many threads, by default one for each core of this process, and return their number."""
    import torch

    count = wanted or max(1, len(os.sched_getaffinity(0)))
    torch.set_num_threads(count)
    return count
