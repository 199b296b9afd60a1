from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Checkout"]

_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Checkout:
    """A copy of the library that can be measured.

    The measuring code is always that of this package, loaded as a part of the copy; so an older copy without
    ``fastreid/benchmark`` can be measured, and two copies are measured alike.

    Args:
        root: folder that the package is imported from.
        package: its name, with dots if it is vendored.
    """

    root: Path
    package: str = "fastreid"

    @classmethod
    def own(cls) -> Checkout:
        """Return the copy that this code belongs to."""
        package = __name__.removesuffix(".benchmark.checkout")
        return cls(Path(__file__).resolve().parents[package.count(".") + 2], package)

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Checkout:
        """Return the copy in a folder, the one that holds ``fastreid/``.

        Raises:
            FileNotFoundError: if there is none.
        """
        root = Path(path).expanduser().resolve()
        if not (root / "fastreid" / "__init__.py").is_file():
            raise FileNotFoundError(
                f"--against {path}: there is no fastreid/__init__.py in it; name the folder of a checkout, which holds "
                "fastreid/ and setup.py"
            )
        return cls(root)

    def measure(self, area: str, values: dict[str, Any]) -> dict[str, Any]:
        """Measure one case in a fresh process.

        Args:
            area: a module of this package with a function ``measure``.
            values: its arguments, which JSON can carry.

        Returns:
            ``figures`` and ``environment``, see :mod:`.worker`; or ``failed``, a sentence, if it did not work out.
        """
        with tempfile.TemporaryDirectory() as folder:
            answer = Path(folder, "answer.json")
            request = {
                "root": str(self.root),
                "package": self.package,
                "area": area,
                "values": values,
                "answer": str(answer),
            }
            command = [sys.executable, "-P", str(_WORKER), json.dumps(request)]  # -P: no file here hides a module
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if not answer.is_file():  # killed, or it crashed
                last = (run.stderr.strip().splitlines() or ["no message"])[-1]
                return {"failed": f"the process ended with code {run.returncode}: {last}"}
            return json.loads(answer.read_text(encoding="utf-8"))
