"""The self-test for whoever installs Steady: what works, what does not, and what to change. From the inside
(database, Redis, clock, providers) and along the way that people's browsers take (proxies)."""
