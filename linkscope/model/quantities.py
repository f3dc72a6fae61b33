"""Figures as people say them: bytes, shares, times and ratios. The documents themselves hold plain numbers."""

from __future__ import annotations

_UNITS = ("KiB", "MiB", "GiB", "TiB")
_TIMES = ((0.9995, "s", 1.0), (0.9995e-3, "ms", 1e3), (0.0, "µs", 1e6))


def size(count: int) -> str:
    """COUNT bytes in at most eight columns: `0`, `20 KiB`, `1.4 MiB`, `312 MiB`, `2.0 GiB`. Only nothing is `0`."""
    if not count:
        return "0"
    value = count / 1024
    for unit in _UNITS:
        if round(value) < 1000 or unit == _UNITS[-1]:
            break
        value /= 1024
    exact = unit != _UNITS[0] and value < 99.95
    return f"{value:.1f} {unit}" if exact else f"{max(1, round(value))} {unit}"


def percent(part: int, whole: int) -> str:
    """PART of WHOLE as `62 %`; what is neither nothing nor all never looks so."""
    share = round(100 * part / whole) if whole else 0
    if 0 < part < whole:
        share = min(99, max(1, share))
    return f"{share} %"


def duration(seconds: float) -> str:
    """SECONDS with three digits that count: `312 µs`, `1.24 ms`, `48.1 ms`, `2.50 s`, `130 s`, `-12.0 ms`."""
    if seconds < 0:
        return f"-{duration(-seconds)}"
    unit, factor = next((unit, factor) for least, unit, factor in _TIMES if seconds >= least)
    value = seconds * factor
    return f"{_three_digits(value)} {unit}"


def times(ratio: float) -> str:
    """A RATIO as a factor: `0.52 x`, `0.021 x`, `4.36 x`, `14.6 x`, `120 x`."""
    return f"{ratio:.2g} x" if ratio < 0.1 else f"{_three_digits(ratio)} x"


def _three_digits(value: float) -> str:
    decimals = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{decimals}f}"
