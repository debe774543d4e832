"""Who may look, who may act, and who did? Users, roles, sessions, tokens and the log; used by dashboard, API, commands."""
