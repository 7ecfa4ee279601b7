"""Latent video diffusion (LVDM) for endoscopy: data, networks, sampling and scores."""

__version__ = "0.1.0"
