import json
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="session")
def shapes() -> dict[str, dict[str, tuple[int, ...]]]:
    """Names and shapes of the tensors of each model of the original."""
    record = json.loads((GOLDEN / "state_dict_shapes.json").read_text())
    return {model: {name: tuple(shape) for name, shape in tensors.items()} for model, tensors in record.items()}
