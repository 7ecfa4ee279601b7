from dataclasses import dataclass

import numpy as np


@dataclass
class Evidence:
    x: np.ndarray


def evidence(frames):
    return Evidence(np.zeros(frames[0].shape, np.uint8))


def combine(l):
    return l[0]


def find_overlays(e, box):
    return []


def cover(frames, mask):
    return frames
