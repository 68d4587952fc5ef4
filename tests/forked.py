"""Starts `manage.py` in forks of a process that has imported the libraries: half of the CPU of a start.

It imports no module of Steady and nothing that needs settings. The fork runs `manage.py` from its first line,
in its own environment, folder and files. Tests of `tests/integration` start it by its command.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

_LIBRARIES = (
    "aiohttp",
    "argon2",
    "autobahn.twisted.websocket",
    "channels_redis.pubsub",
    "dj_database_url",
    "django.contrib.staticfiles.storage",
    "django.core.handlers.asgi",
    "django.core.mail",
    "django.core.management",
    "django.core.serializers.json",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.db.models",
    "django.forms",
    "django.template.defaulttags",
    "fido2.server",
    "httpx2",
    "ijson",
    "nh3",
    "openai",
    "orjson",
    "prometheus_client",
    "psycopg",
    "psycopg_pool",
    "pydantic",
    "pygments.lexers",
    "pyromark",
    "pythonjsonlogger",
    "redis.asyncio",
    "twisted.internet.asyncioreactor",
    "twisted.internet.endpoints",
    "twisted.web.http",
    "whitenoise.base",
)
_MESSAGE = 200_000  # bytes
# The interpreter and the dynamic linker read these before the first line.
_NEEDS_EXEC = ("PYTHON", "LD_")


class Fork:
    """A process, with the methods of `subprocess.Popen` that the tests use."""

    def __init__(self, pid: int, ended: socket.socket) -> None:
        self.pid, self._ended = pid, ended
        self.returncode: int | None = None

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._ended.settimeout(timeout)
            try:
                said = self._ended.recv(_MESSAGE)
            except (BlockingIOError, TimeoutError) as error:
                raise subprocess.TimeoutExpired("manage.py", timeout or 0) from error
            assert said, "the process that forks has ended"
            self._ended.close()
            self.returncode = int(said)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def can_fork(env: Mapping[str, str]) -> bool:
    return _has_pidfd() and not any(name.startswith(_NEEDS_EXEC) for name in env)


@cache
def _has_pidfd() -> bool:
    """Returns whether the kernel, and the sandbox around it, let a process be waited for by a file."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (AttributeError, OSError):
        return False
    return True


def start(arguments: Sequence[str], cwd: Path, env: Mapping[str, str], *files: int) -> Fork:
    """Runs `manage.py` with these arguments. `files` are its standard input, output and error."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    wish = {"arguments": list(arguments), "cwd": str(cwd), "env": dict(env)}
    with theirs:
        socket.send_fds(_forking(), [json.dumps(wish).encode()], [*files, theirs.fileno()])
    ours.settimeout(300)
    return Fork(int(ours.recv(_MESSAGE)), ours)


def run(
    arguments: Sequence[str], cwd: Path, env: Mapping[str, str], stdin: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs `manage.py` with these arguments until its end."""
    with TemporaryFile("w+") as given, TemporaryFile("w+") as said, TemporaryFile("w+") as errors:
        given.write(stdin)
        given.seek(0)  # which writes it out
        files = given.fileno(), said.fileno(), errors.fileno()
        if can_fork(env):
            code = start(arguments, cwd, env, *files).wait(300)
        else:
            command = [sys.executable, "manage.py", *arguments]
            code = subprocess.run(
                command,
                cwd=cwd,
                env=env,
                stdin=files[0],
                stdout=files[1],
                stderr=files[2],
                timeout=300,
                check=False,
            ).returncode
        said.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, code, said.read(), errors.read())


@cache
def _forking() -> socket.socket:
    """Returns the connection to the process that forks. It ends with this process, and so do its forks."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, Path(os.devnull).open("r+b") as nothing:
        theirs.set_inheritable(True)
        os.posix_spawn(
            sys.executable,
            [sys.executable, __file__, str(theirs.fileno())],
            {name: value for name, value in os.environ.items() if not name.startswith(_NEEDS_EXEC)},
            file_actions=[(os.POSIX_SPAWN_DUP2, nothing.fileno(), number) for number in (0, 1)],
            setsid=True,  # Ctrl+C is for the tests, which end the servers.
        )
    atexit.register(ours.close)
    return ours


def _serve(wishes: socket.socket) -> dict[str, object]:
    """Forks for each wish, and says when a fork has ended. Returns in the forks, with the wish."""
    selector = selectors.DefaultSelector()
    selector.register(wishes, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.data is not None:
                pid, ended = key.data
                selector.unregister(key.fd)
                os.close(key.fd)
                _, status = os.waitpid(pid, 0)
                _say(ended, os.waitstatus_to_exitcode(status))
                ended.close()
                continue
            message, files, _, _ = socket.recv_fds(wishes, _MESSAGE, 4)
            if not message:  # The tests have ended, perhaps killed.
                for running in selector.get_map().values():
                    if running.data is not None:
                        os.kill(running.data[0], signal.SIGKILL)
                os._exit(0)
            pid = os.fork()
            if not pid:
                selector.close()
                for number, file in enumerate(files[:3]):
                    os.dup2(file, number)
                os.closerange(3, 1024)
                wish: dict[str, object] = json.loads(message)
                return wish
            for file in files[:3]:
                os.close(file)
            ended = socket.socket(fileno=files[3])
            _say(ended, pid)
            selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, ended))


def _say(to: socket.socket, number: int) -> None:
    try:
        to.send(str(number).encode())
    except OSError:
        pass  # nobody waits for it any more


if __name__ == "__main__":
    import gc
    import importlib
    import runpy

    gc.disable()
    for library in _LIBRARIES:
        importlib.import_module(library)
    gc.freeze()
    gc.enable()
    connection = socket.socket(fileno=int(sys.argv[1]))
    wish = _serve(connection)
    connection.detach()
    os.chdir(str(wish["cwd"]))
    os.environ.clear()
    os.environ.update(wish["env"])  # type: ignore[call-overload]
    sys.argv = ["manage.py", *wish["arguments"]]  # type: ignore[misc]
    sys.path[0] = str(wish["cwd"])
    runpy.run_path("manage.py", run_name="__main__")
