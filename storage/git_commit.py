"""Which commit of this project's own checkout is running, where it runs from one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_TIMEOUT_SECONDS = 10.0


def git_commit(checkout: Path | None = None) -> str | None:
    """The commit, with `-dirty` behind it where tracked files were changed; None outside a checkout of one's own."""
    root = Path(__file__).resolve().parent.parent if checkout is None else checkout.resolve()
    git = shutil.which("git")
    if git is None or _run(git, root, "rev-parse", "--show-toplevel") != str(root):
        return None  # an installed copy may lie inside a checkout of something else
    commit = _run(git, root, "rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("-dirty" if _run(git, root, "status", "--porcelain", "--untracked-files=no") else "")


def _run(git: str, folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments, no shell)
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
