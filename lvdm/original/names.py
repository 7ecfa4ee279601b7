"""Translation of a network's tensors between our names and those of a released checkpoint."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Original:
    """Where a tensor of ours stands in an original state dictionary.

    Attributes:
        names: its name there, and its aliases where a module registered one tensor more than once.
        unit_axes: number of axes of size 1 that its shape ends in there and not here (a convolution of kernel
            size 1 there, a linear layer here).
    """

    names: tuple[str, ...]
    unit_axes: int = 0


@dataclass(frozen=True)
class Names:
    """The names of one kind of network.

    ``locate(name, names)`` is the :class:`Original` of the tensor ``name`` of ours, one of ``names`` of the whole
    network; it raises ``KeyError`` for a name that is none of such a network's.
    """

    locate: Callable[[str, Collection[str]], Original]

    def expected(self, network: nn.Module) -> dict[str, tuple[int, ...]]:
        """Name and shape, aliases included, of each tensor of an original checkpoint of ``network``.

        Only names and shapes of ``network`` are read: it may be on the meta device.
        """
        state = network.state_dict()
        return {
            original: (*state[name].shape, *[1] * place.unit_axes)
            for name, place in self._places(state).items()
            for original in place.names
        }

    def from_original(self, state: Mapping[str, Tensor], network: nn.Module) -> dict[str, Tensor]:
        """The state dictionary for ``network`` from an original one.

        Raises ``KeyError`` that lists the names which ``state`` lacks.
        """
        places = self._places(network.state_dict())
        missing = [place.names[0] for place in places.values() if state.keys().isdisjoint(place.names)]
        if missing:
            raise KeyError(f"the checkpoint lacks {', '.join(missing)}; it belongs to another configuration")
        ours = {}
        for name, place in places.items():
            tensor = state[next(original for original in place.names if original in state)]
            ours[name] = tensor.reshape(tensor.shape[: tensor.ndim - place.unit_axes])
        return ours

    def to_original(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The original state dictionary, aliases included, from ours of a whole network."""
        return {
            original: state[name].reshape(*state[name].shape, *[1] * place.unit_axes)
            for name, place in self._places(state).items()
            for original in place.names
        }

    def _places(self, names: Collection[str]) -> dict[str, Original]:
        return {name: self.locate(name, names) for name in names}


def translate(path: str, words: Mapping[str, str]) -> str:
    """``path`` with each of its words, which are separated by dots, translated; numbers stay.

    Raises ``KeyError`` for a word without translation.
    """
    return ".".join(word if word.isdigit() else words[word] for word in path.split("."))
