"""Names of the UNet's tensors in a released checkpoint.

Attention projects by convolutions of kernel size 1 there, over positions alone or over clips, and by linear layers
here. A block is a sequence there: a residual block is its entry 0, attention follows, and what changes the size
comes last.
"""

import re
from collections.abc import Collection

from lvdm.original.names import Names, Original, translate

_BLOCK = re.compile(r"(encoder|middle|decoder)\.(\d+)\.(residual|attention|conv|upsample)(?:\.(.+))?")
_PATHS = {
    "time_embedding.0": "time_embed.0",
    "time_embedding.2": "time_embed.2",
    "level_embedding": "label_emb",
    "stem": "input_blocks.0.0",
    "norm": "out.0",
    "head": "out.2",
}
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
    "temporal.relative_key": "relative_position_k",
    "temporal.relative_value": "relative_position_v",
}
_TRANSFORMER = {
    "norm": "norm",
    "project_in": "proj_in",
    "blocks": "transformer_blocks",
    "norm_spatial": "norm1",
    "spatial": "attn1",
    "norm_temporal1": "norm4",
    "temporal1": "attn1_tmp",
    "norm_text": "norm2",
    "text": "attn2",
    "norm_temporal2": "norm5",
    "temporal2": "attn2_tmp",
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "out": "to_out.0",
    "relative_key": "relative_position_k",
    "relative_value": "relative_position_v",
    "norm_feed_forward": "norm3",
    "feed_forward": "ff",
    "widen": "net.0.proj",
    "narrow": "net.2",
    "project_out": "proj_out",
}
_PARAMETERS = {"weight": "weight", "bias": "bias", "table": "embeddings_table"}
# Trailing axes of the weights of convolutions that are linear layers here.
_UNIT_AXES = {
    "spatial.qkv": 1,
    "spatial.out": 1,
    "temporal.qkv": 1,
    "temporal.out": 1,
    "project_in": 3,
    "project_out": 3,
}


def _locate(name: str, names: Collection[str]) -> Original:
    path, _, parameter = name.rpartition(".")
    match = _BLOCK.fullmatch(path)
    if match is None:
        return Original((f"{_PATHS[path]}.{parameter}",))
    part, index, kind, layer = match.groups()
    entry = _entry(part, int(index), kind, names)
    parameter = _PARAMETERS[parameter]
    if kind == "residual":
        return Original((f"{entry}.{_RESIDUAL[layer]}.{parameter}",))
    if kind == "attention":
        original = _ATTENTION.get(layer) or translate(layer, _TRANSFORMER)
        return Original((f"{entry}.{original}.{parameter}",), _UNIT_AXES.get(layer, 0) if parameter == "weight" else 0)
    return Original((f"{entry}.{'op' if kind == 'conv' else 'conv'}.{parameter}",))


def _entry(part: str, index: int, kind: str, names: Collection[str]) -> str:
    """The module that the ``kind`` of layers of our block ``index`` is in the original."""
    if part == "middle":
        return f"middle_block.{2 * index + (kind == 'attention')}"
    if part == "encoder":
        # Our stem is entry 0 of theirs.
        return f"input_blocks.{index + 1}.{int(kind == 'attention')}"
    attention = any(f"decoder.{index}.attention.{norm}.weight" in names for norm in ("norm", "spatial.norm"))
    return f"output_blocks.{index}.{ {'residual': 0, 'attention': 1, 'upsample': 1 + attention}[kind] }"


_names = Names(_locate)
expected = _names.expected
from_original = _names.from_original
to_original = _names.to_original
