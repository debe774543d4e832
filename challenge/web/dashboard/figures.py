"""How is a number written and drawn? Template filters, and SVG made here: no script, prints, follows the dark mode.

Each drawing stands beside the numbers it shows, in a table; so it is hidden from readers that cannot see it, except
those with a title. Colours come from desk.css through classes: a strict policy forbids style attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from markupsafe import Markup, escape

from challenge.money import grouped
from challenge.web.dashboard.door import room

_WIDE, _HIGH, _LEFT, _BOTTOM, _TOP = 360, 190, 40, 26, 12


@room.app_template_filter()
def thousands(number: float | None) -> str:
    """1,284."""
    return "–" if number is None else f"{number:,.0f}"


@room.app_template_filter()
def percent(rate: float | None) -> str:
    """71 %; below ten with one place, for 0.4 % and 1.4 % are far apart."""
    return "–" if rate is None else f"{_places(rate)}\u00a0%"


@room.app_template_filter()
def span(low: float | None, high: float | None) -> str:
    """68 – 73 %, the interval beside a rate."""
    return "" if low is None or high is None else f"{_places(low)}\u00a0– {_places(high)}\u00a0%"


@room.app_template_filter()
def chance(probability: float) -> str:
    """68 %; nothing that was measured is certain, so never 0 or 100."""
    if probability > 0.999:
        return "over 99.9\u00a0%"
    return "under 0.1\u00a0%" if probability < 0.001 else percent(probability)


@room.app_template_filter()
def points(difference: float | None) -> str:
    """`+3.2`: a difference of two rates in points of a hundred."""
    return "–" if difference is None else f"{100 * difference:+.1f}".replace("-", "−")


@room.app_template_filter()
def lasting(minutes: int | None) -> str:
    """`40 min`, `3 h`, `2 days`."""
    if minutes is None:
        return "–"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes / 60:.0f} h" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"


@room.app_template_filter()
def weekday(day: date) -> str:
    return f"{day:%a}"


@room.app_template_filter()
def money(amount: float | None, currency: str) -> str:
    """Smallest units, as people write the main unit: `1,234.50`; yen have no places."""
    return "–" if amount is None else grouped(amount, currency)


def _places(rate: float) -> str:
    value = 100 * rate
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:.0f}"


@room.app_template_global()
def bar(rate: float | None, low: float | None = None, high: float | None = None) -> Markup:
    """A rate as a bar with its interval as a whisker, for a table cell."""
    if rate is None:
        return Markup("")
    whisker = ""
    if low is not None and high is not None:
        whisker = (
            f'<path class="whisker" d="M{100 * low:.2f} 4v8M{100 * low:.2f} 8H{100 * high:.2f}M{100 * high:.2f} 4v8"/>'
        )
    return _cell(f'<rect class="fill" width="{100 * rate:.2f}" y="2" height="12"/>{whisker}')


@room.app_template_global()
def opened_bar(people: int, proxy: int, sent: int) -> Markup:
    """Opened by people, then striped what only proxies opened: the truth lies between the two ends."""
    if not sent:
        return Markup("")
    sure, maybe = 100 * people / sent, 100 * proxy / sent
    stripes = "".join(f"M{sure + step:.2f} 2v12" for step in _steps(maybe))
    return _cell(
        f'<rect class="fill" width="{sure:.2f}" y="2" height="12"/><path class="stripes" d="{stripes}"/>'
        f'<rect class="rim" x="{sure:.2f}" width="{maybe:.2f}" y="2" height="12"/>'
    )


def _steps(width: float) -> list[float]:
    return [step * 2.0 + 1.0 for step in range(int(max(0.0, width - 1.0) / 2.0) + (width > 1.0))]


def _cell(inside: str) -> Markup:
    return Markup(
        '<svg class="cell" viewBox="0 0 100 16" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="rail" width="100" y="2" height="12"/>%s</svg>'
    ) % Markup(inside)


@room.app_template_global()
def stairs(shares: Sequence[float | None], labels: Sequence[str], title: str) -> Markup:
    """Who is still in, as stairs that go down; each step carries its number. They end where nobody knows yet."""
    if not shares:
        return Markup("")
    step = (_WIDE - _LEFT - 8) / len(shares)
    points, words, end = [], [], float(_LEFT)
    for place, share in enumerate(shares):
        left = _LEFT + place * step
        words.append(_text(left + step / 2, _HIGH - 8, labels[place], "label"))
        if share is None:
            continue
        height, end = _y(share), left + step
        points.append(f"{left:.1f},{height:.1f} {end:.1f},{height:.1f}")
        words.append(_text(left + step / 2, height - 5, f"{100 * share:.0f} %", "value"))
    line = " ".join(points)
    area = f"{_LEFT},{_y(0):.1f} {line} {end:.1f},{_y(0):.1f}"
    return _drawing(title, f'<polygon class="area" points="{area}"/><polyline class="line" points="{line}"/>', words)


@room.app_template_global()
def columns(counts: Sequence[int], labels: Sequence[str], title: str) -> Markup:
    """Counts side by side, each with its number above."""
    if not counts:
        return Markup("")
    most = max([*counts, 1])
    step = (_WIDE - 8) / len(counts)
    bars, words = [], []
    for place, count in enumerate(counts):
        left, top = 4 + place * step, _y(count / most)
        if count:
            bars.append(
                f'<rect class="fill" x="{left + 4:.1f}" y="{top:.1f}" width="{step - 8:.1f}" '
                f'height="{_y(0) - top:.1f}" rx="3"/>'
            )
        words.append(_text(left + step / 2, top - 4, f"{count:,}", "value"))
        words.append(_text(left + step / 2, _HIGH - 8, labels[place], "label"))
    return _drawing(title, "".join(bars), words, scale=False)


def _drawing(title: str, inside: str, words: list[str], *, scale: bool = True) -> Markup:
    lines = ""
    for share in (0.0, 0.5, 1.0) if scale else (0.0,):
        lines += f'<path class="rule" d="M{_LEFT if scale else 4} {_y(share):.1f}H{_WIDE - 8}"/>'
        lines += _text(_LEFT - 6, _y(share) + 4, f"{100 * share:.0f} %", "scale") if scale else ""
    return Markup(
        '<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" focusable="false">{}{}{}</svg>'
    ).format(_WIDE, _HIGH, title, Markup(lines), Markup(inside), Markup("".join(words)))


def _y(share: float) -> float:
    return _TOP + 14 + (_HIGH - _BOTTOM - _TOP - 14) * (1 - share)


def _text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
