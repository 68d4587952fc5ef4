"""The server of this tree, or of an older commit in a worktree of its own: both are measured in one run."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from yarl import URL

from tests.faults.client import Person
from tests.servers import ROOT, ServerProcess

TICK = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = 0, 1
BEFORE, NOW = "before", "now"
# Run by `manage.py shell` of the measured commit.
ADD_PEOPLE = """
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_user_model
for number in range({count}):
    user = get_user_model()(email=f"person{{number}}@example.org", password="!")
    user.save()
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    print(user.email, session.session_key)
"""


@dataclass(frozen=True)
class Tree:
    """A checkout of the project. `name` is shown in the tables."""

    name: str
    path: Path


@contextmanager
def trees(against: str | None) -> Iterator[list[Tree]]:
    """Yields the trees to measure: first the commit `against`, if there is one, then this one. Both run with
    the packages that are installed here."""
    with ExitStack() as stack:
        older = [Tree(BEFORE, stack.enter_context(_worktree(against)))] if against else []
        yield [*older, Tree(NOW, ROOT)]


@contextmanager
def _worktree(ref: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="steady-tree-") as folder:
        path = Path(folder) / "tree"
        subprocess.run(["git", "worktree", "add", "-q", "--detach", path, ref], cwd=ROOT, check=True)
        try:
            yield path
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", path], cwd=ROOT, check=True)


class Server(ServerProcess):
    """The server of a tree on the first core, with a folder of its own. An older commit makes its own
    database, since it may not know today's tables. With `counts` it counts its queries and writes the counts
    to that file when it stops."""

    def __init__(
        self, tree: Path, folder: Path, provider_port: int, env: dict[str, str], counts: Path | None = None
    ) -> None:
        own = {
            "OPENAI_COMPATIBLE_URL": f"http://127.0.0.1:{provider_port}/v1",
            "STEADY_DEMO": "false",
            "CHAT_RUNNING_PER_PERSON": "100000",
            "CHAT_PAGES_PER_PERSON": "100000",
            "STATIC_ROOT": str(folder / "static"),
            "PYTHONPATH": str(tree),
            **env,
        }
        # The prepared database may be newer than an older tree. That one makes its own.
        super().__init__(folder / "data", own, is_new=tree != ROOT)
        self.root, self.counts = tree, counts
        if counts:
            self.env["BENCHMARK_QUERIES"] = str(counts)

    def command(self) -> list[str]:
        program = [str(ROOT / "benchmarks" / "counted.py")] if self.counts else ["manage.py"]
        return [sys.executable, *program, "serve", f"127.0.0.1:{self.port}"]

    def start(self, seconds: float = 300) -> Server:
        super().start(seconds)
        pin(self.pid, SERVER_CORE)
        return self

    def add_people(self, count: int) -> list[Person]:
        """Adds users, each logged in. They have no passwords: to hash one takes more CPU and memory than what
        is measured, and the number of log-ins is limited."""
        lines = self.manage("shell", "--no-imports", "-c", ADD_PEOPLE.format(count=count)).splitlines()
        return [self._person(*line.split()) for line in lines]

    def _person(self, email: str, session_key: str) -> Person:
        person = Person(self.url, email)
        cookies = {"sessionid": session_key, "csrftoken": secrets.token_hex(16)}
        person.http.cookie_jar.update_cookies(cookies, URL(self.url))
        return person

    def cpu(self) -> float:
        """Returns the CPU seconds of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK


def pin(pid: int, core: int) -> None:
    """Pins all threads of a process, and those that they start, to this core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):  # a thread that ended meanwhile
            os.sched_setaffinity(int(task.name), {core})
