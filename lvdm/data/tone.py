"""Colours that libswscale does not convert: HDR, wide primaries, and matrices that are no 3x3 matrix of R'G'B'.

It is done on frames that are scaled already, from 16 bits a component, in floating point. What comes out
is what every other video gives: 8-bit R'G'B' of BT.709 primaries for a display of BT.1886.

- PQ and HLG become light by the EOTF of ITU-R BT.2100-2 (HLG on its nominal display of 1000 cd/m2).
- 203 cd/m2, the reference white of ITU-R BT.2408, becomes the white of SDR ("display light" mapping, as SDR
  is put into HDR there). Brighter light rolls off above 97 % of the signal, so that SDR within HDR comes
  back as it was: white within 4 levels, all below 247 exactly. Files whose white was put at 100 cd/m2
  instead (zscale's npl unless it is told) come out darker: white at 190.
- Primaries are converted in linear light (ITU-R BT.2087, SMPTE RP 177), white points after Bradford.
  Those of BT.601 and SMPTE 240M lie within BT.709's by a few levels and stay, as in every player.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

Format = Literal["bgr0", "rgb48le", "yuv444p16le"]

HDR = {"smpte2084": "PQ tone-mapped to SDR", "arib-std-b67": "HLG tone-mapped to SDR"}
WIDE = {
    "bt2020": "BT.2020", "smpte431": "DCI-P3", "smpte432": "Display P3", "film": "film", "bt470m": "BT.470 M",
}  # fmt: skip

# Matrices that are converted here; libswscale does the others.
MATRICES = {
    "ycgco": "YCgCo", "bt2020c": "BT.2020 constant luminance", "chroma-derived-nc": "matrix derived from the primaries",
    "ictcp": "ICtCp",
}  # fmt: skip

# BT.2408-7, table 1: level of diffuse white; BT.2100-2: nominal peak of HLG and its system gamma there.
_REFERENCE_WHITE = 203.0
_HLG_PEAK = 1000.0
_HLG_GAMMA = 1.2
# BT.1886: gamma of the display that SDR is made for.
_DISPLAY_GAMMA = 2.4
# Signal from which highlights roll off.
_KNEE = 0.97

# x, y of red, green, blue and white (H.273, table 2).
_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_CHROMATICITIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    "bt470m": ((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    "bt470bg": ((0.64, 0.33), (0.29, 0.60), (0.15, 0.06), _D65),
    "smpte170m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "smpte240m": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65),
    "film": ((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    "smpte431": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    "smpte432": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
    "ebu3213": ((0.630, 0.340), (0.295, 0.605), (0.155, 0.077), _D65),
}
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

# BT.2100-2, tables 6 and 7: LMS of RGB, and ICtCp of L'M'S' for PQ and for HLG.
_LMS = np.array([[1688, 2146, 262], [683, 2951, 462], [99, 309, 3688]]) / 4096
_ICTCP = {
    "smpte2084": np.array([[2048, 2048, 0], [6610, -13613, 7003], [17933, -17390, -543]]) / 4096,
    "arib-std-b67": np.array([[2048, 2048, 0], [3625, -7465, 3840], [9500, -9212, -288]]) / 4096,
}


_LUMA_WEIGHTS = {
    "bt709": (0.2126, 0.0722), "fcc": (0.30, 0.11), "bt470bg": (0.299, 0.114), "smpte170m": (0.299, 0.114),
    "smpte240m": (0.212, 0.087), "bt2020nc": (0.2627, 0.0593),
}  # fmt: skip


@dataclass(frozen=True)
class Colour:
    """What the samples of a picture mean; names are ffmpeg's."""

    matrix: str
    full_range: bool
    transfer: str
    primaries: str
    depth: int
    """Bits per component."""

    @property
    def grey_is_limited(self) -> bool:
        """Grey that runs from 16 to 235: libswscale takes every grey for full range."""
        return self.matrix == "gbr" and not self.full_range

    @property
    def changes_light(self) -> bool:
        return self.transfer in HDR or self.transfer == "linear" or self.primaries in WIDE or self.matrix == "ictcp"


def describe(colour: Colour) -> tuple[str, ...]:
    """What is done to such colours here, a few words for each."""
    done = []
    if colour.matrix in MATRICES:
        done.append(f"{MATRICES[colour.matrix]} to RGB")
    if _transfer(colour) in HDR:
        done.append(HDR[_transfer(colour)])
    elif colour.transfer == "linear":
        done.append("linear light to the gamma of SDR")
    if colour.primaries in WIDE and _transfer(colour) not in HDR:
        done.append(f"{WIDE[colour.primaries]} primaries to BT.709")
    return tuple(done)


def wanted_format(colour: Colour, alpha: bool = False) -> Format:
    """The pixel format to give to :func:`converter`; with alpha, the picture was laid over black in R'G'B'."""
    if colour.matrix in MATRICES:
        return "yuv444p16le"
    if not colour.changes_light and not colour.grey_is_limited:
        return "bgr0"
    # libswscale's own RGB is a level or two off in 16 bits, which PQ makes many near black.
    return "rgb48le" if alpha or colour.matrix == "gbr" else "yuv444p16le"


def converter(colour: Colour, given: Format) -> Callable[[np.ndarray], np.ndarray]:
    """What makes uint8 (H, W, 3) RGB of samples (H, W, 3) in a format that :func:`wanted_format` names."""
    if given == "bgr0":
        return np.ascontiguousarray
    # Row-wise, so that `samples @ to_709` maps RGB.
    to_709 = primaries_matrix(_primaries(colour), "bt709").T.astype(np.float32)

    def convert(samples: np.ndarray) -> np.ndarray:
        values = samples.astype(np.float32)
        if colour.matrix == "ictcp":
            light = _light_of_lms(_spread(values, colour), _transfer(colour))
        else:
            signal = _full(values, colour) if given == "rgb48le" else _rgb(_spread(values, colour), colour)
            if not colour.changes_light:
                return _bytes(signal)
            light = light_of(np.clip(signal, 0, 1), colour.transfer)
        return _bytes(_shown(light @ to_709, _transfer(colour)))

    return convert


def light_of(signal: np.ndarray, transfer: str) -> np.ndarray:
    """Linear light (..., 3) of R'G'B' in 0 to 1, as a multiple of SDR's white (203 cd/m2 where it is absolute)."""
    if transfer == "smpte2084":
        return _pq(signal) / _REFERENCE_WHITE
    if transfer == "arib-std-b67":
        return _hlg_display(_hlg_scene(signal)) / _REFERENCE_WHITE
    if transfer == "linear":
        return signal
    if transfer == "iec61966-2-1":
        return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)
    return signal ** _gamma(transfer)


def primaries_matrix(source: str, target: str) -> np.ndarray:
    """(3, 3) that takes linear RGB, a column, from one set of primaries to another."""
    source_white, target_white = (_xyz(_CHROMATICITIES[name][3]) for name in (source, target))
    scale = np.diag((_BRADFORD @ target_white) / (_BRADFORD @ source_white))
    adapted = np.linalg.inv(_BRADFORD) @ scale @ _BRADFORD
    return np.linalg.inv(_to_xyz(target)) @ adapted @ _to_xyz(source)


# -------------------------------------------------------------------------------------------- light


def _shown(light: np.ndarray, transfer: str) -> np.ndarray:
    """R'G'B' of linear light, BT.709 primaries: by the transfer it had, or for a display of BT.1886."""
    light = np.maximum(light, 0)
    if transfer in HDR:
        return _roll_off(light ** (1 / _DISPLAY_GAMMA))
    if transfer == "iec61966-2-1":
        return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    return light ** (1 / _gamma(transfer))


def _roll_off(signal: np.ndarray) -> np.ndarray:
    excess = np.maximum(signal - _KNEE, 0) / (1 - _KNEE)
    return np.where(signal <= _KNEE, signal, _KNEE + (1 - _KNEE) * excess / (1 + excess))


def _gamma(transfer: str) -> float:
    return {"gamma22": 2.2, "gamma28": 2.8}.get(transfer, _DISPLAY_GAMMA)


def _pq(signal: np.ndarray) -> np.ndarray:
    """cd/m2 by BT.2100-2, table 4."""
    m1, m2 = 2610 / 16384, 2523 / 4096 * 128
    c1, c2, c3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.maximum(signal, 0) ** (1 / m2)
    return 10_000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)


def _hlg_scene(signal: np.ndarray) -> np.ndarray:
    """Scene light in 0 to 1 by the inverse OETF of BT.2100-2, table 5."""
    a = 0.17883277
    b, c = 1 - 4 * a, 0.5 - a * np.log(4 * a)
    return np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)


def _hlg_display(scene: np.ndarray) -> np.ndarray:
    """cd/m2 by the OOTF of BT.2100-2, table 5."""
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return _HLG_PEAK * np.maximum(luminance, 0)[..., None] ** (_HLG_GAMMA - 1) * scene


def _light_of_lms(ictcp: np.ndarray, transfer: str) -> np.ndarray:
    lms = np.clip(ictcp @ np.linalg.inv(_ICTCP[transfer]).T.astype(np.float32), 0, 1)
    to_rgb = np.linalg.inv(_LMS).T.astype(np.float32)
    if transfer == "smpte2084":
        return _pq(lms) @ to_rgb / _REFERENCE_WHITE
    return _hlg_display(np.maximum(_hlg_scene(lms) @ to_rgb, 0)) / _REFERENCE_WHITE


def _transfer(colour: Colour) -> str:
    # ICtCp is defined for PQ and HLG alone; H.273 takes it for PQ unless HLG is stated.
    return "smpte2084" if colour.matrix == "ictcp" and colour.transfer not in HDR else colour.transfer


def _primaries(colour: Colour) -> str:
    """Those that are stated and converted; BT.2100 knows BT.2020's only."""
    if _transfer(colour) in HDR:
        return colour.primaries if colour.primaries in _CHROMATICITIES else "bt2020"
    return colour.primaries if colour.primaries in WIDE else "bt709"


def _to_xyz(primaries: str) -> np.ndarray:
    *rgb, white = (_xyz(point) for point in _CHROMATICITIES[primaries])
    columns = np.stack(rgb, axis=1)
    return columns * np.linalg.solve(columns, white)


def _xyz(chromaticity: tuple[float, float]) -> np.ndarray:
    x, y = chromaticity
    return np.array([x / y, 1, (1 - x - y) / y])


# ------------------------------------------------------------------------------------------ samples


def _bytes(signal: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)


def _full(values: np.ndarray, colour: Colour) -> np.ndarray:
    """R'G'B' in 0 to 1 of 16-bit RGB; grey of limited range is stretched."""
    signal = values / 65535
    return (signal * 255 - 16) / 219 if colour.grey_is_limited else signal


def _spread(values: np.ndarray, colour: Colour) -> np.ndarray:
    """Y in 0 to 1, and two differences in -0.5 to 0.5, of samples that were shifted to 16 bits (H.273, 8.3)."""
    if colour.full_range:
        return (values - np.array([0, 32768, 32768], np.float32)) / (65536 - 2 ** (16 - min(colour.depth, 16)))
    # YCgCo is made of integers that are in the range already: its differences are not stretched (8.3.4).
    luma, differences = 219 << 8, (219 if colour.matrix == "ycgco" else 224) << 8
    return (values - np.array([4096, 32768, 32768], np.float32)) / np.array([luma, *2 * [differences]], np.float32)


def _rgb(ycc: np.ndarray, colour: Colour) -> np.ndarray:
    """R'G'B' of Y' and two differences."""
    luma, first, second = ycc[..., 0], ycc[..., 1], ycc[..., 2]
    if colour.matrix == "ycgco":  # H.273, equations 55 to 58
        rest = luma - first
        return np.stack([rest + second, luma + first, rest - second], axis=-1)
    if colour.matrix == "bt2020c":
        return _constant_luminance(luma, first, second)
    red, blue = _weights(colour)
    r, b = luma + 2 * (1 - red) * second, luma + 2 * (1 - blue) * first
    return np.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b], axis=-1)


def _weights(colour: Colour) -> tuple[float, float]:
    """Kr and Kb (H.273, table 4)."""
    if colour.matrix == "chroma-derived-nc":
        red, _, blue = _to_xyz(colour.primaries if colour.primaries in _CHROMATICITIES else "bt709")[1]
        return float(red), float(blue)
    return _LUMA_WEIGHTS[colour.matrix]


def _constant_luminance(luma: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """R'G'B' by BT.2020-2, table 4: luma is made of linear light there."""
    b = luma + first * np.where(first <= 0, 1.9404, 1.5816).astype(np.float32)
    r = luma + second * np.where(second <= 0, 1.7184, 0.9936).astype(np.float32)
    alpha, beta = 1.09929682680944, 0.018053968510807

    def linear(signal: np.ndarray) -> np.ndarray:
        return np.where(signal < 4.5 * beta, signal / 4.5, (np.maximum(signal + alpha - 1, 0) / alpha) ** (1 / 0.45))

    g = np.maximum((linear(luma) - 0.2627 * linear(r) - 0.0593 * linear(b)) / 0.6780, 0)
    return np.stack([r, np.where(g < beta, 4.5 * g, alpha * g**0.45 - (alpha - 1)), b], axis=-1)
