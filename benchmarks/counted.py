"""`manage.py` that counts its SQL statements by the function that sent them.

It writes the counts to the file of BENCHMARK_QUERIES when it ends. Only `benchmarks.turns` starts it.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

OWN = re.compile("/backends/|/prepared|/metrics.py|/guard.py")  # they send the statements of others
counts: Counter[str] = Counter()
target = Path(os.environ["BENCHMARK_QUERIES"])


def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    ours = [f for f in traceback.extract_stack() if "/chat/" in f.filename and not OWN.search(f.filename)]
    cause = " < ".join(f"{Path(f.filename).stem}.{f.name}" for f in reversed(ours[-2:])) or "elsewhere"
    counts[f"{cause}: {' '.join(sql.split()[:1])}"] += 1
    return execute(sql, params, many, context)


def watch(connection: Any, **kwargs: Any) -> None:
    connection.execute_wrappers.append(count)


def begin() -> None:
    """Counts again from zero when the benchmark deletes the file."""
    import threading

    def look() -> None:
        while True:
            if not target.exists():
                counts.clear()
                target.write_text("{}")
            threading.Event().wait(0.01)

    target.write_text("{}")
    threading.Thread(target=look, daemon=True).start()


def main() -> None:
    sys.path.insert(0, str(Path.cwd()))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatproject.settings")
    from django.core.management import execute_from_command_line
    from django.db.backends.signals import connection_created

    connection_created.connect(watch)
    begin()
    try:
        execute_from_command_line(sys.argv)
    finally:
        target.write_text(json.dumps(counts))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
