"""Health checks for load balancers and supervisors: whether the process runs, and whether it is ready for
requests."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.generation.readiness import OK
from chat.runtime import current


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """Returns 200 while the process answers. Checks nothing else: restarting Steady repairs no database."""
    return HttpResponse("alive\n", content_type="text/plain")


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """Returns 200 if the process is ready for requests, else 503; in both cases with the result of each
    check."""
    words = await current().readiness.results()
    ready = all(word == OK for word in words.values())
    return JsonResponse({"ready": ready, **words}, status=200 if ready else 503)
