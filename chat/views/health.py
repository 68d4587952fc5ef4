"""For load balancers and supervisors: does the process live, and should it be given work?"""

from __future__ import annotations

from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.generation.runner import runner


@never_cache
@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """200 while the process answers. Asks nothing else: restarting Steady mends no database."""
    return HttpResponse("alive\n", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 when new work is welcome, else 503; either way what stands and what is missing, in words."""
    database, migrations = _database_words()
    words = {
        "database": database,
        "migrations": migrations,
        "replies": "ok" if runner.accepting else "No new replies: the server is starting or stopping.",
    }
    ready = all(word == "ok" for word in words.values())
    return JsonResponse({"ready": ready, **words}, status=200 if ready else 503)


# What is on disk cannot change under a running process, and applied migrations stay applied.
_migrated = False


def _database_words() -> tuple[str, str]:
    global _migrated
    try:
        if not _migrated:
            executor = MigrationExecutor(connection)
            _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
    except DatabaseError:
        return "The database cannot be reached.", "unknown"
    return "ok", "ok" if _migrated else "Migrations are missing: run manage.py migrate or restart Steady."
