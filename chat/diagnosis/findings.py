"""The result of a check, and the fix."""

from __future__ import annotations

from dataclasses import dataclass, field

# The settings of common proxies, by the kind of fault. The names of directives are the proxies' own.
PROXY_FIXES: dict[str, dict[str, str]] = {
    "websocket": {
        "nginx": "In the location: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; "
        'proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;',
        "Caddy": "reverse_proxy passes WebSockets by default: look for another proxy before or behind it.",
        "Traefik": "Passes WebSockets by default: look for a middleware that removes the Upgrade header, and "
        "for another proxy before it.",
    },
    "buffering": {
        "nginx": "In the location: proxy_buffering off; gzip off; (or let X-Accel-Buffering pass: no "
        "proxy_ignore_headers X-Accel-Buffering).",
        "Caddy": "In reverse_proxy: flush_interval -1, and no encode for text/event-stream.",
        "Traefik": "No buffering and no compress middleware on this router (excludedContentTypes: "
        "text/event-stream).",
    },
    "idle": {
        "nginx": "proxy_read_timeout 120s; proxy_send_timeout 120s;",
        "Caddy": "In reverse_proxy's transport http: read_timeout 120s (the default, none, is right).",
        "Traefik": "entryPoints.<name>.transport.respondingTimeouts.readTimeout: 0 and idleTimeout: 180s.",
    },
    "unreachable": {
        "nginx": "proxy_pass to the address that `manage.py serve` prints; proxy_set_header Host $http_host; "
        "proxy_set_header X-Forwarded-Proto $scheme;",
        "Caddy": "chat.example.org { reverse_proxy 127.0.0.1:8000 }",
        "Traefik": "The service's loadbalancer.server.port is the port that `manage.py serve` prints.",
    },
}


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `words` is the result, `fix` what to do, `proxies` the same for each proxy by
    its name; both are empty if the check passes."""

    name: str
    ok: bool
    words: str
    fix: str = ""
    proxies: dict[str, str] = field(default_factory=dict)
    seconds: float | None = None  # that the check took


def proxy_fault(name: str, words: str, kind: str) -> Finding:
    return Finding(name, False, words, "The proxy in front of Steady:", PROXY_FIXES[kind])
