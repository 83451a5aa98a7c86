"""A fresh interpreter, for what must be seen from the first import on."""

import os
import subprocess
import sys


def run(script, **environ):
    """The script's output, run by a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", script],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
