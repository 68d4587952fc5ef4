"""The connection check for operators: what works, what does not, and what to change. Server checks cover the
database, Redis, the clock and the providers; network checks cover the proxies between browsers and Steady."""
