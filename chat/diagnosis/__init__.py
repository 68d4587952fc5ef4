"""The connection check for who installs Steady: what works, what does not, what to change. From the inside
(database, Redis, clock, providers) and along the way that people's browsers take (proxies)."""
