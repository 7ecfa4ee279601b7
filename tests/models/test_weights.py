"""Weights as files."""

import torch

from lvdm.files import read_json
from lvdm.models.weights import load_model, save_model


def test_weights_come_back_with_their_configuration(tmp_path):
    state = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.ones(1, dtype=torch.bfloat16)}
    save_model(tmp_path / "w.safetensors", state, {"width": 3})
    found, config = load_model(tmp_path / "w.safetensors")
    assert config == {"width": 3} == read_json(tmp_path / "w.json")
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in state.items())


def test_others_may_read_what_the_umask_lets_them(tmp_path):
    save_model(tmp_path / "w.safetensors", {"a": torch.ones(1)}, {})
    plain = tmp_path / "plain"
    plain.touch()
    assert (tmp_path / "w.safetensors").stat().st_mode == plain.stat().st_mode
