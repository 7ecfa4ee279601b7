"""Names of the 2D autoencoder's tensors in a released checkpoint (those of latent diffusion).

Attention projects by convolutions of kernel size 1 there and by linear layers here.
"""

from collections.abc import Collection

from lvdm.original.names import Names, Original, translate

_PATHS = {"encoder.norm": "encoder.norm_out", "decoder.norm": "decoder.norm_out"}
_WORDS = {
    "encoder": "encoder",
    "decoder": "decoder",
    "to_moments": "quant_conv",
    "from_latent": "post_quant_conv",
    "stem": "conv_in",
    "head": "conv_out",
    "blocks": "block",
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "shortcut": "nin_shortcut",
    "middle": "mid",
    "block1": "block_1",
    "attention": "attn_1",
    "block2": "block_2",
    "norm": "norm",
    "query": "q",
    "key": "k",
    "value": "v",
    "out": "proj_out",
}
_ENCODER = _WORDS | {"levels": "down", "resample": "downsample.conv"}
_DECODER = _WORDS | {"levels": "up", "resample": "upsample.conv"}
_LINEAR = ("query", "key", "value", "out")


def _locate(name: str, names: Collection[str]) -> Original:
    path, _, parameter = name.rpartition(".")
    original = _PATHS.get(path) or translate(path, _DECODER if path.startswith("decoder.") else _ENCODER)
    projection = parameter == "weight" and path.rpartition(".")[2] in _LINEAR
    return Original((f"{original}.{parameter}",), unit_axes=2 if projection else 0)


_names = Names(_locate)
expected = _names.expected
from_original = _names.from_original
to_original = _names.to_original
