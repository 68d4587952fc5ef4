"""The metrics of this process, in the text form of Prometheus.

The page does not exist until a token or addresses are configured. No address is trusted by default, not even
this machine's own: behind a proxy on the same machine every request comes from there, and not every proxy
marks what it forwards.
"""

from __future__ import annotations

from hmac import compare_digest
from ipaddress import ip_address

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client.exposition import choose_encoder

from chat.runtime import current

# Each proxy adds one of these. The address of a forwarded request is the proxy's.
_FORWARDED = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


@never_cache
@require_safe
async def metrics(request: HttpRequest) -> HttpResponse:
    """Requires what is configured: the token, an address of the list, or both."""
    if not (settings.METRICS_TOKEN or settings.METRICS_ADDRESSES):
        raise Http404
    if settings.METRICS_ADDRESSES and not _is_listed(request):
        return HttpResponse("This address may not read the metrics.\n", status=403, content_type="text/plain")
    if settings.METRICS_TOKEN and not _has_token(request):
        return HttpResponse(
            "The metrics need their token.\n",
            status=401,
            content_type="text/plain",
            headers={"WWW-Authenticate": "Bearer"},
        )
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(current().metrics.registry), content_type=content_type)


def _has_token(request: HttpRequest) -> bool:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    is_right = compare_digest(token.strip().encode(), settings.METRICS_TOKEN.encode())
    return kind.lower() == "bearer" and is_right


def _is_listed(request: HttpRequest) -> bool:
    """Returns whether the request comes directly from an address of the list."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # a Unix socket
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in network for network in settings.METRICS_ADDRESSES)
