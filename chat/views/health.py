"""For load balancers and supervisors: does the process live, and should it be given work?"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.generation.readiness import OK
from chat.runtime import current


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers. Asks nothing else: restarting Steady mends no database."""
    return HttpResponse("alive\n", content_type="text/plain")


@never_cache
@require_safe
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when new work is welcome, else 503; either way what stands and what is missing, in words."""
    words = await current().readiness.look()
    ready = all(word == OK for word in words.values())
    return JsonResponse({"ready": ready, **words}, status=200 if ready else 503)
