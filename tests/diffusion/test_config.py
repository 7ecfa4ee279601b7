import pytest

from lvdm.config import ConfigError, parse
from lvdm.diffusion.config import (
    FrameConditionConfig,
    ObjectiveConfig,
    SamplerConfig,
    ScheduleConfig,
    check_objective,
)


def test_eps_without_a_last_signal_is_refused():
    schedule = ScheduleConfig(zero_terminal_snr=True)
    with pytest.raises(ValueError, match=r"set objective\.prediction to `v` or `x0`"):
        check_objective(schedule, ObjectiveConfig(prediction="eps"))


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_other_objectives_go_with_every_schedule(prediction):
    for zero_terminal_snr in (False, True):
        check_objective(ScheduleConfig(zero_terminal_snr=zero_terminal_snr), ObjectiveConfig(prediction=prediction))


def test_eps_goes_with_a_plain_schedule():
    check_objective(ScheduleConfig(), ObjectiveConfig(prediction="eps"))


@pytest.mark.parametrize(
    ("cls", "data", "key"),
    [
        (FrameConditionConfig, {"given": []}, "given"),
        (FrameConditionConfig, {"given": [1, 0]}, "given.1"),
        (FrameConditionConfig, {"share": 1.5}, "share"),
        (FrameConditionConfig, {"max_noise_level": 0}, "max_noise_level"),
        (ObjectiveConfig, {"min_snr_gamma": 0.0}, "min_snr_gamma"),
        (SamplerConfig, {"method": "heun", "eta": 1.0}, "`eta` belongs to method `ddim` only"),
    ],
)
def test_values_out_of_range_are_refused(cls, data, key):
    with pytest.raises(ConfigError, match=key):
        parse(cls, data, source="test")


def test_defaults_train_as_before():
    assert not ScheduleConfig().zero_terminal_snr
    assert ObjectiveConfig().min_snr_gamma is None
