"""How mail leaves: the SMTP dialogue (`smtp`), what a relay's answer means (`replies`), and the ledger that survives both.

Called by `challenge.jobs`, one batch at a time.
"""
