"""Ask the OSV database (https://osv.dev) about every pinned version: one request, a few seconds, no download.

    python tests/architecture/dependency_audit.py [--strict]

Prints what is known to be wrong with the versions of constraints.txt. Without a network it says so in one line and
ends well. With --strict it ends with 1 where anything was found that `IGNORED` does not name.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

PINS = Path(__file__).resolve().parents[2] / "constraints.txt"
ADDRESS_VARIABLE = "IAMSB_OSV_ADDRESS"
USUAL_ADDRESS = "https://api.osv.dev"
TIMEOUT_SECONDS = 5.0
MOST_IN_A_REQUEST = 1000
IGNORED: dict[str, str] = {}
"""ids that do not concern us, with the reason"""


def pinned(path: Path = PINS) -> list[tuple[str, str]]:
    """(name, version) of every line."""
    lines = (line.split("#")[0].split(";")[0].strip() for line in path.read_text().splitlines())
    pairs = (line.split("==") for line in lines if "==" in line)
    return [(name.strip(), version.strip()) for name, version in pairs]


def known_problems(pins: Sequence[tuple[str, str]], address: str) -> dict[tuple[str, str], list[str]]:
    """Ids of what is wrong, by package. Raises OSError or ValueError where the database does not answer."""
    if not address.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError(f"{address} is no address that is asked")
    queries = [{"package": {"name": name, "ecosystem": "PyPI"}, "version": version} for name, version in pins]
    request = urllib.request.Request(
        f"{address}/v1/querybatch",
        data=json.dumps({"queries": queries[:MOST_IN_A_REQUEST]}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        results = json.loads(answer.read())["results"]
    found = {}
    for pin, result in zip(pins, results, strict=True):
        ids = sorted(one["id"] for one in (result or {}).get("vulns") or ())
        if ids:
            found[pin] = ids
    return found


def main(arguments: Iterable[str] | None = None) -> int:
    """Print the findings; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--strict", action="store_true", help="end with 1 where anything is found")
    strict = parser.parse_args(None if arguments is None else list(arguments)).strict
    pins = pinned()
    address = os.environ.get(ADDRESS_VARIABLE, USUAL_ADDRESS)
    try:
        found = known_problems(pins, address)
    except (OSError, ValueError, KeyError, TypeError) as error:
        sys.stdout.write(f"dependency audit skipped: no vulnerability database answers ({type(error).__name__})\n")
        return 0
    left = {pin: [one for one in ids if one not in IGNORED] for pin, ids in found.items()}
    left = {pin: ids for pin, ids in left.items() if ids}
    for (name, version), ids in sorted(left.items()):
        sys.stdout.write(f"{name} {version}: {', '.join(ids)} (https://osv.dev/vulnerability/{ids[0]})\n")
    sys.stdout.write(f"dependency audit: {len(pins)} pinned packages, {len(left)} with known problems\n")
    return 1 if strict and left else 0


if __name__ == "__main__":
    sys.exit(main())
