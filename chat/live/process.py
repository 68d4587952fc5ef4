"""The name of this server process, which leases on generations carry."""

from __future__ import annotations

import os
import secrets

PROCESS_NAME = f"{os.getpid()}-{secrets.token_hex(6)}"
