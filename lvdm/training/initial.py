"""Trainings that start from the weights of another one (`init: imported`)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from lvdm.models.weights import fill, load_model

# Settings of a network that say how it is trained, not what it is.
_NOT_OF_THE_NETWORK = {"checkpointing", "dropout"}


def check_initial(init: str, weights: Path | None) -> None:
    """Raises ``ValueError`` where `init` and the file to start from do not belong together."""
    if (init == "imported") != (weights is not None):
        raise ValueError(f"`init` is {init}: give a file to start from with `init: imported`, and only then")


def start_from(network: nn.Module, weights: str | Path, wanted: Mapping[str, Any]) -> None:
    """Fill ``network`` with the weights in the file ``weights``.

    Raises ``ValueError`` that lists what differs where the configuration beside them does not say what ``wanted`` says.
    """
    state, found = load_model(weights)
    differing = list(_differences(found, wanted))
    if differing:
        raise ValueError(
            f"{weights} was made with another configuration, says {Path(weights).with_suffix('.json').name}: "
            f"{'; '.join(differing)}; use the same, or other weights"
        )
    fill(network, state, weights)


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in wanted.items():
        if key in _NOT_OF_THE_NETWORK:
            continue
        other = found.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping):
            yield from _differences(other, value, f"{prefix}{key}.")
        elif other != value:
            yield f"{prefix}{key} is {other} there and {value} here"
