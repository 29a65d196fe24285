"""tooz's own tutorial on groups, unmodified but for the URL: `python -m tests.tooz.tutorial`.

The programs come out of the source distribution of the tooz that is installed, which pip downloads.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path

PROGRAMS = ("group_membership.py", "group_membership_watch.py", "partitioner.py")
SECONDS = 60


def main() -> None:
    """Run each program; end with its status when it fails."""
    tooz = f"tooz-{version('tooz')}"
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
        subprocess.run([*command, tooz.replace("-", "==")], cwd=place, check=True)
        for name in PROGRAMS:
            with tarfile.open(Path(place) / f"{tooz}.tar.gz") as archive:
                member = archive.extractfile(f"{tooz}/examples/{name}")
                assert member is not None
                text = member.read().decode()
            program, changed = re.subn(r"(?<=get_coordinator\(')[a-z]+://[^']*(?=')", "gossip://", text)
            assert changed == 1, text
            subprocess.run([sys.executable, "-c", program], timeout=SECONDS, check=True)
            print(f"{tooz}/examples/{name}: ran")


if __name__ == "__main__":
    main()
