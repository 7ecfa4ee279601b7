"""Where the figures of a benchmark go."""

import json
import sys
from pathlib import Path
from typing import Any

from lvdm.files import write_json


def write_result(result: dict[str, Any], path: Path | None) -> None:
    """Write JSON to ``path``, or without one to the terminal."""
    if path:
        write_json(path, result)
    else:
        sys.stdout.write(json.dumps(result) + "\n")
