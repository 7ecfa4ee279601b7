"""Synthetic endoscopy: a camera with its lamp moves through a folded, winding, vessel-covered tube.

The tube runs around a centre line ``c(s)``, where ``s`` is the distance along it and the unit of length
is the mean radius. Its wall lies at the radius ``r(s, angle)``, drawn in by ring folds of three lobes, as
the colon's three bands of muscle make them. The ray of each pixel is marched to its first hit, so near
folds hide what lies behind them, and the hit is lit from the camera. The scene stands still and the
camera moves.

All of a patient follows from one generator. Nothing here touches files.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from einops import rearrange
from PIL import Image, ImageDraw, ImageFont

Array = np.ndarray

_DEPTHS = np.geomspace(0.2, 10.0, 48, dtype=np.float32)  # where a ray is tested: densest at the large near folds
_HALF_VIEW = 1.15  # tangent of half the angle of view across the picture's shorter side
_AHEAD = np.float32(2.5)  # the endoscopist steers towards the centre line at this distance
_TEXTURE = (512, 640)  # angle, length: about 80 texels a tube radius both ways
_TEXTURE_LENGTH = 8.0  # tube radii after which the texture repeats
_STEP = np.float32(0.01)  # of the finite differences


@dataclass(frozen=True)
class Wave:
    """``amplitude * sin(frequency * t + phase)``; float32, scalars or arrays of one shape."""

    amplitude: Array
    frequency: Array
    phase: Array

    def __call__(self, t: Array) -> Array:
        return self.amplitude * np.sin(self.frequency * t + self.phase)


@dataclass(frozen=True)
class Patient:
    """What differs from patient to patient. Lengths in mean tube radii, colours linear RGB in [0, 1]."""

    mucosa: Array  # (3,)
    blood: Array  # (3,), the colour of vessels and flushed patches
    texture: Array  # (*_TEXTURE, 3): flush from 0 (mucosa) to 1 (blood); slopes of fine relief by angle and by length
    fold_spacing: float
    fold_depth: float
    fold_sharpness: float
    fold_tilt: float
    fold_jitter: Wave
    lobes: Wave
    bends: Wave  # (2, 3): the centre line sideways and upwards, as sums of three waves along s
    start: float
    speed: float  # a frame; negative: withdrawal
    surge: Wave  # the way to and fro on top of it, by frame
    look: Wave  # (2,): slopes of the view sideways and upwards, by frame
    drift: Wave  # (2,): distance of the camera from the centre line, by frame
    lamp: float


@dataclass(frozen=True)
class _Camera:
    """Where the camera is and looks in one frame."""

    s: np.float32
    centres: Array  # (2, len(_DEPTHS)): the centre line at _DEPTHS in front of the camera, in its view

    def centre(self, depth: Array) -> Array:
        """The centre line at depths ``(N,)``: ``(2, N)``."""
        return np.stack([np.interp(depth, _DEPTHS, line).astype(np.float32) for line in self.centres])


def make_patient(generator: np.random.Generator) -> Patient:
    """Draw one patient."""
    uniform = generator.uniform
    relief = 0.005 * _noise(generator, wavelength=0.25)
    slopes = np.gradient(relief, 2 * np.pi / _TEXTURE[0], _TEXTURE_LENGTH / _TEXTURE[1])
    return Patient(
        mucosa=np.array([0.80, uniform(0.27, 0.38), uniform(0.20, 0.30)], np.float32),
        blood=np.array([uniform(0.40, 0.52), 0.07, 0.05], np.float32),
        texture=np.stack([_flush(generator), *slopes], axis=-1).astype(np.float32),
        fold_spacing=uniform(0.9, 1.5),
        fold_depth=uniform(0.28, 0.42),
        fold_sharpness=uniform(1.2, 3.0),
        fold_tilt=uniform(-0.35, 0.35),
        fold_jitter=_wave(generator, 0.15, (1.2, 2.2)),
        lobes=_wave(generator, 1.5, (0.3, 0.8)),
        bends=_wave(generator, 0.35, (0.2, 0.6), (2, 3)),
        start=uniform(0, _TEXTURE_LENGTH),
        speed=uniform(0.010, 0.024) * generator.choice([-1.0, 1.0]),
        surge=_wave(generator, 0.15, (0.06, 0.11)),
        look=_wave(generator, 0.3, (0.04, 0.08), (2,)),
        drift=_wave(generator, 0.16, (0.03, 0.07), (2,)),
        lamp=uniform(0.9, 1.2),
    )


def render(patient: Patient, frames: int, size: tuple[int, int]) -> Iterator[Array]:
    """Yield the frames of a patient's video: uint8 ``(H, W, 3)``; ``size`` is (height, width)."""
    height, width = size
    rays = _rays(height, width)
    for frame in range(frames):
        camera = _camera(patient, np.float32(frame))
        light = _shade(patient, camera, rays, _depths(patient, camera, size, rays))
        # An exposure that saturates softly, then the gamma of a display.
        levels = 255 * (1 - np.exp(-light)) ** (1 / 2.2)
        yield rearrange(np.rint(levels).astype(np.uint8), "c (h w) -> h w c", h=height)


def add_panel(size: tuple[int, int], lines: list[str]) -> tuple[Array, tuple[slice, slice]]:
    """A black canvas with burned-in text beside the place of the picture, as endoscopes record it.

    ``size`` is the picture's (height, width). Returns the canvas, uint8 ``(H, W, 3)`` with even sides,
    and the rows and columns of the picture in it.
    """
    height, width = size
    margin, panel = height // 16, width * 3 // 4
    canvas = Image.new("RGB", ((width + panel + margin + 1) // 2 * 2, (height + 2 * margin + 1) // 2 * 2))
    drawing = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        drawing.text((margin, margin + 14 * number), line, fill=(200, 200, 200), font=ImageFont.load_default())
    return np.array(canvas), (slice(margin, margin + height), slice(panel, panel + width))


def _rays(height: int, width: int) -> Array:
    """The slopes sideways and upwards of the ray of each pixel: ``(2, height * width)``."""
    slopes = [(2 * np.arange(n) + 1 - n) * (_HALF_VIEW / min(height, width)) for n in (height, width)]
    return np.stack([slope.ravel() for slope in np.meshgrid(*slopes, indexing="ij")[::-1]]).astype(np.float32)


def _camera(patient: Patient, frame: np.float32) -> _Camera:
    s = np.float32(patient.start + patient.speed * frame + patient.surge(frame))
    position = _centre(patient, s) + patient.drift(frame)
    look = (_centre(patient, s + _AHEAD) - position) / _AHEAD + patient.look(frame)
    centres = [_centre(patient, s + depth) - position - look * depth for depth in _DEPTHS]
    return _Camera(s, np.stack(centres, axis=1))


def _centre(patient: Patient, s: np.float32) -> Array:
    """The centre line at ``s``: ``(2,)``."""
    return patient.bends(s).sum(axis=-1)


def _wall(patient: Patient, s: Array, x: Array, y: Array) -> Array:
    """The wall's radius at ``s`` in the direction of the point (x, y), seen from the centre line."""
    inverse = 1 / np.sqrt(x * x + y * y + np.float32(1e-8))
    cos, sin = x * inverse, y * inverse
    cos3, sin3 = cos * (4 * cos * cos - 3), sin * (3 - 4 * sin * sin)
    turn = patient.lobes(s)
    lobe = np.cos(turn) * cos3 + np.sin(turn) * sin3
    ring = np.float32(2 * np.pi) * ((s + patient.fold_tilt * cos) / patient.fold_spacing + patient.fold_jitter(s))
    fold = np.exp(patient.fold_sharpness * (np.cos(ring) - 1))
    return 1 + 0.07 * lobe - patient.fold_depth * fold * (0.65 + 0.35 * lobe)


def _march(patient: Patient, camera: _Camera, rays: Array) -> Array:
    """The depth at which each ray ``(2, N)`` first meets the wall: ``(N,)``."""
    depths = np.full(rays.shape[1], _DEPTHS[-1])
    under_way = np.arange(rays.shape[1])
    gap_before = np.full(rays.shape[1], np.float32(-1))
    for (near, far), centre in zip(pairwise(_DEPTHS), camera.centres.T[1:], strict=True):
        x, y = rays[0] * far - centre[0], rays[1] * far - centre[1]
        gap = np.sqrt(x * x + y * y) - _wall(patient, camera.s + far, x, y)
        hit, missed = np.flatnonzero(gap >= 0), np.flatnonzero(gap < 0)
        before = gap_before.take(hit)
        depths[under_way.take(hit)] = near + (far - near) * before / (before - gap.take(hit))
        under_way, gap_before, rays = under_way.take(missed), gap.take(missed), rays.take(missed, axis=1)
    return depths


def _depths(patient: Patient, camera: _Camera, size: tuple[int, int], rays: Array) -> Array:
    """The depths of all rays ``(2, H * W)``: marched at half the resolution, and in full at the rims of folds."""
    height, width = size
    coarse_size = -(-height // 2), -(-width // 2)
    coarse = Image.fromarray(_march(patient, camera, _rays(*coarse_size)).reshape(coarse_size))
    smooth, nearest = (
        np.array(coarse.resize((width, height), resampling)).ravel()
        for resampling in (Image.Resampling.BILINEAR, Image.Resampling.NEAREST)
    )
    rim = np.flatnonzero(np.abs(smooth - nearest) > 0.08 * nearest)
    smooth[rim] = _march(patient, camera, rays[:, rim])
    return smooth


def _shade(patient: Patient, camera: _Camera, rays: Array, depth: Array) -> Array:
    """Light that reaches the camera along each ray: ``(3, N)``, linear."""
    s = camera.s + depth
    centre = camera.centre(depth)
    bend = (camera.centre(depth + _STEP) - centre) / _STEP
    x, y = rays * depth - centre
    flush, slope_angle, slope_length = _texture(patient, s, np.arctan2(y, x))
    detail = 1 / (1 + (depth / 3) ** 2)  # what is finer than a pixel far away would flicker

    def gap(s: Array, x: Array, y: Array) -> Array:
        return np.sqrt(x * x + y * y) - _wall(patient, s, x, y)

    # The wall's normal: the gradient of the gap between a point and the wall, tilted by the relief.
    at_hit = gap(s, x, y)
    out_x = (gap(s, x + _STEP, y) - at_hit) / _STEP - detail * slope_angle * y
    out_y = (gap(s, x, y + _STEP) - at_hit) / _STEP + detail * slope_angle * x
    out_z = (gap(s + _STEP, x, y) - at_hit) / _STEP + detail * slope_length - out_x * bend[0] - out_y * bend[1]

    ray_length = np.sqrt(1 + rays[0] ** 2 + rays[1] ** 2)
    normal_length = np.sqrt(out_x**2 + out_y**2 + out_z**2)
    facing = np.clip((rays[0] * out_x + rays[1] * out_y + out_z) / (ray_length * normal_length), 0, 1)
    distance = depth * ray_length
    flush = np.clip(0.12 + detail * (flush - 0.12), 0, 1)
    colour = patient.mucosa[:, None] * (1 - flush) + patient.blood[:, None] * flush
    # Light that bounced off the wall before is redder with each bounce.
    diffuse = 1.5 * colour ** (1 + 0.15 * distance) * (0.2 + 0.8 * facing)
    highlight = 0.5 * facing**60
    return (diffuse + highlight) * patient.lamp / (0.2 + distance**2)


def _texture(patient: Patient, s: Array, angle: Array) -> Array:
    """The layers of the texture at points of the wall: ``(3, N)``. Texels are finer than pixels: no interpolation."""
    row = np.floor(angle * np.float32(_TEXTURE[0] / (2 * np.pi))).astype(np.int32) % _TEXTURE[0]
    column = np.floor(s * np.float32(_TEXTURE[1] / _TEXTURE_LENGTH)).astype(np.int32) % _TEXTURE[1]
    return patient.texture[row, column].T


def _wave(
    generator: np.random.Generator, amplitude: float, frequency: tuple[float, float], shape: tuple[int, ...] = ()
) -> Wave:
    values = (
        generator.uniform(0.6 * amplitude, 1.4 * amplitude, shape),
        generator.uniform(*frequency, shape),
        generator.uniform(0, 2 * np.pi, shape),
    )
    return Wave(*(np.float32(value) for value in values))


def _noise(generator: np.random.Generator, wavelength: float) -> Array:
    """Periodic noise ``_TEXTURE`` of mean 0 and deviation 1, an octave wide around ``wavelength`` (tube radii)."""
    angle = np.fft.fftfreq(_TEXTURE[0], 2 * np.pi / _TEXTURE[0])[:, None]
    length = np.fft.rfftfreq(_TEXTURE[1], _TEXTURE_LENGTH / _TEXTURE[1])
    octaves = np.log2(np.maximum(np.hypot(angle, length), 1e-3) * wavelength)
    noise = np.fft.irfft2(np.fft.rfft2(generator.standard_normal(_TEXTURE)) * np.exp(-2 * octaves**2), _TEXTURE)
    return (noise - noise.mean()) / noise.std()


def _flush(generator: np.random.Generator) -> Array:
    """How red each point of the wall is, 0 to 1: soft patches, and vessels where a noise crosses zero."""
    patches = 0.12 + 0.07 * _noise(generator, 1.2)
    large = np.exp(-((_noise(generator, 1.4) / 0.06) ** 2))
    small = np.exp(-((_noise(generator, 0.5) / 0.12) ** 2))
    where = np.clip(0.5 + 0.7 * _noise(generator, 2.0), 0, 1)
    return np.clip(patches + where * (0.5 * large + 0.24 * small), 0, 1)
