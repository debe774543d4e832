"""How do many patterns, written one a line so that they can be read and added to, become one that searches?"""

from __future__ import annotations

import re


def any_of(
    lines: str, *, before: str = "", after: str = "", ignore_case: bool = False, every_line: bool = False, **names: str
) -> re.Pattern[str]:
    """One pattern that matches any of the lines; `<name>` in a line stands for what is given under that name."""
    alternatives = "|".join(line.strip() for line in lines.splitlines() if line.strip())
    for name, pattern in names.items():
        alternatives = alternatives.replace(f"<{name}>", pattern)
    flags = (re.IGNORECASE if ignore_case else 0) | (re.MULTILINE if every_line else 0)
    return re.compile(f"{before}(?:{alternatives}){after}", flags)
