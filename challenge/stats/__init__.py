"""What do the rows add up to? One place for page, command, API and CSV.

`blocks` says who reached what, one bit a person; every number is a count of bits under a `Filter`. `funnel`, `survival`,
`cohorts` and `sources` count, `inference` says how sure a count is.
"""
