"""The check of the demo accepts a good table, and tells what is wrong with a bad one."""

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

SPEC = importlib.util.spec_from_file_location("check_demo", Path(__file__).with_name("check_demo.py"))
check_demo = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_demo)


def table(psnr=26.0, generated=1.0, noise=5.0):
    rows = [("autoencoder", "", "psnr", psnr)]
    rows += [(model, "random3d", "frechet_distance", value) for model, value in (("lvdm", generated), ("noise", noise))]
    return pd.DataFrame(rows, columns=["model", "detector", "metric", "value"])


def test_a_good_demo_passes():
    assert check_demo.check(table()) == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (table(psnr=24.9), "24.9"),
        (table(psnr=float("nan")), "PSNR"),
        (table(generated=1.3), "1.3"),
        (table(generated=float("nan")), "nan"),
        (table().query("metric != 'psnr'"), "PSNR"),
        (table().query("model != 'noise'"), "no row of the noise"),
        (table().query("model != 'lvdm'"), "none of a sampler"),
        (table().query("metric == 'psnr'"), "no distance"),
    ],
)
def test_a_bad_demo_is_told(bad, said):
    assert said in "\n".join(check_demo.check(bad))
