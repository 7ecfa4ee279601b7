"""Parameter names of the UNet in released LVDM checkpoints.

A pure translation: every parameter of ours is one of theirs. Attention projects by 1x1 convolutions there and by
linear layers here, so those weights have one more axis, of size 1, in a checkpoint.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

_RESIDUAL = {
    "norm_in": "in_layers.0",
    "conv_in": "in_layers.2",
    "modulation": "emb_layers.1",
    "norm_out": "out_layers.0",
    "conv_out": "out_layers.3",
    "shortcut": "skip_connection",
}
_ATTENTION = {
    "spatial.norm": "norm_s",
    "spatial.qkv": "qkv_s",
    "spatial.out": "proj_out_s",
    "temporal.norm": "norm_t",
    "temporal.qkv": "qkv_t",
    "temporal.out": "proj_out_t",
    "temporal.relative_key.table": "relative_position_k.embeddings_table",
    "temporal.relative_value.table": "relative_position_v.embeddings_table",
}
_PLAIN = {"time_embedding": "time_embed", "stem": "input_blocks.0.0", "norm": "out.0", "head": "out.2"}
_PROJECTION = re.compile(r"\.attention\.(spatial|temporal)\.(qkv|out)\.weight$")
_BLOCK = re.compile(r"(encoder|middle|decoder)\.(\d+)\.(residual|attention|conv|upsample)\.(.+)")


def original_names(names: Iterable[str]) -> dict[str, str]:
    """Original name of each parameter in ``names``, which are those of a whole :class:`~lvdm.models.unet.UNet`.

    Raises ``KeyError`` for a name that is none of the UNet's.
    """
    names = list(names)
    with_attention = {name.split(".attention.")[0] for name in names if ".attention." in name}
    return {name: _original_name(name, with_attention) for name in names}


def from_original(state: Mapping[str, Tensor], names: Iterable[str]) -> dict[str, Tensor]:
    """Parameters under our ``names`` and in our shapes from an original state dictionary.

    Raises ``KeyError`` that lists the names which ``state`` lacks.
    """
    originals = original_names(names)
    missing = [original for original in originals.values() if original not in state]
    if missing:
        raise KeyError(f"the checkpoint lacks {', '.join(missing)}; it belongs to another UNet configuration")
    return {
        name: state[original].squeeze(-1) if _PROJECTION.search(name) else state[original]
        for name, original in originals.items()
    }


def to_original(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dictionary of a :class:`~lvdm.models.unet.UNet` under the original names and in their shapes."""
    return {
        original: state[name].unsqueeze(-1) if _PROJECTION.search(name) else state[name]
        for name, original in original_names(state).items()
    }


def _original_name(name: str, with_attention: set[str]) -> str:
    match = _BLOCK.fullmatch(name)
    if match is None:
        part, _, rest = name.partition(".")
        return f"{_PLAIN[part]}.{rest}"
    part, index, kind, rest = match.groups()
    # Theirs are sequences: a residual block is entry 0, attention 1, and what changes the size comes last.
    if part == "middle":
        entry = "middle_block.{}".format(
            {("0", "residual"): 0, ("0", "attention"): 1, ("1", "residual"): 2}[index, kind]
        )
    elif part == "encoder":
        entry = f"input_blocks.{int(index) + 1}.{int(kind == 'attention')}"
    else:
        last = 2 if f"decoder.{index}" in with_attention else 1
        entry = f"output_blocks.{index}.{ {'residual': 0, 'attention': 1, 'upsample': last}[kind] }"
    if kind == "residual":
        layer, parameter = rest.split(".")
        return f"{entry}.{_RESIDUAL[layer]}.{parameter}"
    if kind == "attention":
        layer = rest if rest in _ATTENTION else rest.rpartition(".")[0]
        return entry + "." + _ATTENTION[layer] + rest[len(layer) :]
    return f"{entry}.{'op' if kind == 'conv' else 'conv'}.{rest}"
