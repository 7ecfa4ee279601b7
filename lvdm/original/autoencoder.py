"""Names of the 3D autoencoder's tensors in a released checkpoint, and here.

Pure translation of names. A convolution with same padding registers its weight twice in the original
(``X.conv.weight`` and its alias ``X.weight``), so two of its names can stand for one of ours.
"""

from collections.abc import Iterator


def original_names(levels: int) -> dict[str, str]:
    """Every name of the original 3D autoencoder, aliases included, to our name of the same tensor.

    ``levels`` is the number of down- or upsampling levels: 3 for a reduction of 4x8x8.
    """
    names: dict[str, str] = {}
    for ours, original in _convolutions(levels):
        names[f"{original}.weight"] = names[f"{original}.conv.weight"] = f"{ours}.weight"
        names[f"{original}.conv.bias"] = f"{ours}.bias"
    for level in range(levels):
        for part in ("weight", "bias"):
            names[f"decoder.conv_blocks.{level}.up.convt.{part}"] = f"decoder.levels.{level}.up.{part}"
    for ours, original in _norms(levels):
        for part in ("weight", "bias"):
            names[f"{original}.{part}"] = f"{ours}.{part}"
    return names


def _convolutions(levels: int) -> Iterator[tuple[str, str]]:
    yield "encoder.stem", "encoder.conv_first"
    yield "encoder.head", "encoder.final_block.2"
    yield "decoder.head", "decoder.conv_out"
    yield "to_moments", "quant_conv"
    yield "from_latent", "post_quant_conv"
    for level in range(levels):
        yield f"encoder.levels.{level}.down", f"encoder.conv_blocks.{level}.down"
    for ours, original in _residual_blocks(levels):
        yield f"{ours}.conv1", f"{original}.conv1"
        yield f"{ours}.conv2", f"{original}.conv2"


def _norms(levels: int) -> Iterator[tuple[str, str]]:
    yield "encoder.norm", "encoder.final_block.0"
    for ours, original in _residual_blocks(levels):
        yield f"{ours}.norm1", f"{original}.norm1"
        yield f"{ours}.norm2", f"{original}.norm2"


def _residual_blocks(levels: int) -> Iterator[tuple[str, str]]:
    for level in range(levels):
        yield f"encoder.levels.{level}.block", f"encoder.conv_blocks.{level}.res"
        yield f"decoder.levels.{level}.block1", f"decoder.conv_blocks.{level}.res1"
        yield f"decoder.levels.{level}.block2", f"decoder.conv_blocks.{level}.res2"
