"""The name of a process."""

from __future__ import annotations

import subprocess
import sys

# In an interpreter of its own: one that runs threads, as tests do, must not fork.
PRE_FORK = """
import os
from chat.live.process import process_name
before = process_name()
reading, writing = os.pipe()
if not os.fork():
    os.write(writing, f"{process_name()} {process_name()}".encode())
    os._exit(0)
os.wait()
print(before, process_name(), os.read(reading, 999).decode())
"""


def test_a_forked_worker_has_a_name_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", PRE_FORK], capture_output=True, text=True, check=True)
    before, after, worker, worker_again = done.stdout.split()
    assert before == after != worker == worker_again
