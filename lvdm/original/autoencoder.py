"""Names of the 3D autoencoder's tensors in a released checkpoint.

A convolution with same padding registers its weight twice there: ``X.conv.weight`` has the alias ``X.weight``.
"""

from collections.abc import Collection

from lvdm.original.names import Names, Original, translate

_PATHS = {
    "encoder.stem": "encoder.conv_first",
    "encoder.norm": "encoder.final_block.0",
    "encoder.head": "encoder.final_block.2",
    "decoder.head": "decoder.conv_out",
    "to_moments": "quant_conv",
    "from_latent": "post_quant_conv",
}
_WORDS = {
    "encoder": "encoder",
    "decoder": "decoder",
    "levels": "conv_blocks",
    "down": "down",
    "up": "up.convt",
    "block": "res",
    "block1": "res1",
    "block2": "res2",
    "norm1": "norm1",
    "norm2": "norm2",
    "conv1": "conv1",
    "conv2": "conv2",
}
_WITHOUT_ALIAS = ("norm", "norm1", "norm2", "up")


def _locate(name: str, names: Collection[str]) -> Original:
    path, _, parameter = name.rpartition(".")
    original = _PATHS.get(path) or translate(path, _WORDS)
    if path.rpartition(".")[2] in _WITHOUT_ALIAS:
        return Original((f"{original}.{parameter}",))
    aliases = (f"{original}.weight",) if parameter == "weight" else ()
    return Original((f"{original}.conv.{parameter}", *aliases))


_names = Names(_locate)
expected = _names.expected
from_original = _names.from_original
to_original = _names.to_original
