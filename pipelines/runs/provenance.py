"""Where a result comes from: versions, commit, machine. Goes into every file of results."""

import importlib.metadata
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = ("saccade", "torch", "transformers", "ray")


def provenance() -> dict[str, Any]:
    """Versions, git commit (with `+` for uncommitted changes; None outside a checkout), processor and time."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "versions": versions,
        "commit": commit(),
        "processor": processor(),
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def commit() -> str | None:
    """The checkout's commit, `+` appended when the code differs from it; None when there is no checkout."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "saccade", "pipelines", "configs")
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+" if changed else "")


def processor() -> str:
    """The processor's name as the system gives it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _git(root: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", str(root), *args], check=True, capture_output=True, text=True).stdout.strip()
