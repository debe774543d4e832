"""Commands that measure: `python -m bench`. Nothing here is a test, and nothing in `challenge/` imports it."""
