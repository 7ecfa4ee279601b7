"""Configuration: strict and typed, errors that name the key, overrides, and what each stage sees."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import pytest
import yaml
from pydantic import BaseModel, Field

from lvdm.config import Config, ConfigError, NetworkFile, load, merge, parse, read_mapping
from lvdm.evaluation.config import ProtocolConfig
from lvdm.stages import sources
from lvdm.stages.config import TrainAutoencoderConfig
from lvdm.stages.parts import features_config, for_dataset, memorise_config, score_config, stage_config
from lvdm.stages.pipeline import PipelineConfig

ROOT = Path(__file__).parents[1]
DATASETS = {"one": {"videos": "data/one/*.mp4"}, "two": {"frames": "data/two"}}


def pipeline(**sections) -> PipelineConfig:
    return parse(PipelineConfig, {"datasets": DATASETS, **sections}, source="test")


def refusal(**sections) -> str:
    with pytest.raises(ConfigError) as error:
        pipeline(**sections)
    return str(error.value)


# ----------------------------------------------------------------------------------------- strictness


def test_unknown_key_is_named_with_the_one_that_was_meant():
    assert "data.resolutoin: unknown key; did you mean 'resolution'?" in refusal(data={"resolutoin": 64})


def test_unknown_key_like_no_other_is_named():
    assert "data.xyzzy: unknown key" in refusal(data={"xyzzy": 1})


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"data": {"resolution": "64"}}, "data.resolution"),
        ({"data": {"resolution": 65}}, "data.resolution"),
        ({"data": {"resolution": [64, 8]}}, "data.resolution"),
        ({"data": {"resolution": [64, 64, 64]}}, "data.resolution"),
        ({"data": {"resolution": [64.0, 64]}}, "data.resolution"),
        ({"data": {"resolution": True}}, "data.resolution"),
        ({"data": {"length": 8.5}}, "data.length"),
        ({"data": {"fps": 0}}, "data.fps"),
        ({"data": {"fps": float("inf")}}, "data.fps"),
        ({"data": {"split": {"heldout": 1.0}}}, "data.split"),
        ({"data": {"crop": {"mode": "box"}}}, "data.crop"),
        ({"sample": {"samplers": {}}}, "sample.samplers"),
        ({"sample": {"samplers": {"a b": {}}}}, "sample.samplers.a b"),
        ({"sample": {"samplers": {"real": {}}}}, "sample"),
        ({"sample": {"samplers": {"train": {}}}}, "sample"),
        ({"external": {"a": {}}}, "external.a"),
        ({"external": {"a": {"videos": "x", "npz": "y"}}}, "external.a"),
        ({"external": {"a b": {"videos": "x"}}}, "external.a b"),
        ({"evaluate": {"protocols": []}}, "evaluate.protocols"),
        ({"sample": {"samplers": {"x": {"method": "ddpm", "eta": 0.5}}}}, "sample.samplers.x"),
        ({"evaluate": {"detectors": {"x": {"kind": "torchscript"}}}}, "evaluate.detectors.x"),
        ({"autoencoder": {"training": {"betas": [0.5]}}}, "autoencoder.training.betas"),
        ({"compute": {"device": "tpu"}}, "compute.device"),
        ({"results": 3}, "results"),
    ],
)
def test_wrong_value_is_named(sections, key):
    assert re.search(rf"^  {re.escape(key)}\b", refusal(**sections), re.MULTILINE)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"data": {"length": 20}}, "diffusion.model.temporal_length is 4"),
        ({"autoencoder": {"model": {"downsample": [4, 16, 16]}}, "data": {"resolution": 72}}, "must be multiples"),
        ({"autoencoder": {"model": {"downsample": [4, 16, 8]}}, "data": {"resolution": [72, 64]}}, "must be multiples"),
        ({"autoencoder": {"model": {"downsample": [4, 8, 16]}}, "data": {"resolution": [64, 72]}}, "must be multiples"),
        ({"autoencoder": {"model": {"latent_channels": 8}}}, "latent_channels (8)"),
    ],
)
def test_shapes_that_do_not_fit_each_other_are_refused(sections, said):
    assert said in refusal(**sections)


def test_a_resolution_is_a_number_or_both_sides():
    """A square is one number in the frozen configuration, however it was written: it makes nothing stale."""
    for written, frozen, size in ((64, 64, (64, 64)), ([64, 64], 64, (64, 64)), ([64, 96], [64, 96], (64, 96))):
        config = pipeline(data={"resolution": written})
        assert config.data.size == (config.data.height, config.data.width) == size
        parts = [stage_config(config, "one", stage) for stage in ("extract", "shard", "encode", "preview")]
        sections = [part.model_dump(mode="json") for part in parts]
        assert {json.dumps(part.get("clip", part)["resolution"]) for part in sections} == {json.dumps(frozen)}
        assert json.dumps(config.replace(results="x").model_dump(mode="json")["data"]["resolution"]) == json.dumps(
            frozen
        )
        assert [type(part).model_validate_json(part.to_json()) for part in parts] == parts


def test_detectors_of_squares_are_refused_for_other_frames_before_anything_runs(tmp_path):
    (tmp_path / "own.yaml").write_text("resize: {size: 64}")
    detectors = {"i3d": {"kind": "i3d", "file": {"path": "i3d.pt", "size": 1}}}
    sections = {"datasets": {"one": {"videos": "x"}}, "data": {"resolution": [64, 96]}}
    stand_in = {"stand-in": {"kind": "random3d"}}
    sources.load({**sections, "evaluate": {"detectors": stand_in, "protocols": ["lossless"]}})
    sources.load({**sections, "evaluate": {"detectors": detectors, "protocols": [str(tmp_path / "own.yaml")]}})
    with pytest.raises(
        ConfigError, match=r"detectors i3d take square .* is \[64, 96\]; give the protocols lossless `resi"
    ):
        sources.load({**sections, "evaluate": {"detectors": detectors, "protocols": ["lossless"]}})


def test_a_data_set_has_one_source():
    with pytest.raises(ConfigError, match=r"datasets\.a: give either `videos`"):
        parse(PipelineConfig, {"datasets": {"a": {"videos": "x", "frames": "y"}}}, source="test")


@pytest.mark.parametrize("name", ["tables", "report", "logs", "benchmarks", "a/b", "", "-a"])
def test_names_that_cannot_be_folders_are_refused(name):
    with pytest.raises(ConfigError, match=r"datasets|taken"):
        parse(PipelineConfig, {"datasets": {name: {"videos": "x"}}}, source="test")


def test_all_problems_are_told_at_once():
    message = refusal(data={"resolutoin": 64}, sample={"videos": "many"})
    assert "data.resolutoin" in message
    assert "sample.videos" in message


def test_numbers_without_a_dot_are_numbers():
    text = "datasets: {one: {videos: x}}\nautoencoder: {training: {learning_rate: 1e-4}}"
    config = parse(PipelineConfig, yaml.safe_load(text), source="test")
    assert config.autoencoder.training.learning_rate == 1e-4


def test_configuration_is_immutable():
    with pytest.raises(ValueError, match="frozen"):
        pipeline().data.resolution = 64


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "", "\xff"])
def test_a_file_without_a_mapping_is_named(tmp_path, text):
    path = tmp_path / "some.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"some\.yaml"):
        read_mapping(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load(PipelineConfig, tmp_path / "none.yaml")


# ------------------------------------------------------------------------------------ values and files


def test_json_round_trip_keeps_every_value():
    config = pipeline(data={"split": {"heldout": ["a", "b"]}}, compute={"device": "cpu"})
    again = parse(PipelineConfig, json.loads(config.to_json()), source="test")
    assert again == config
    assert again.fingerprint() == config.fingerprint()


def test_fingerprint_follows_values_not_their_order():
    one, other = pipeline(data={"resolution": 64, "length": 16}), pipeline(data={"length": 16, "resolution": 64})
    assert one.fingerprint() == other.fingerprint()
    assert one.fingerprint() != pipeline(data={"resolution": 128}).replace(results="elsewhere").fingerprint()


def test_replace_validates():
    with pytest.raises(ConfigError, match="resolution"):
        pipeline().data.replace(resolution=1)


def test_merge_goes_into_mappings_and_replaces_all_else():
    base = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    assert merge(base, {"a": {"c": [3]}, "d": {"e": 2}}) == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}
    assert base == {"a": {"b": 1, "c": [1, 2]}, "d": 1}


@pytest.mark.parametrize("name", ["config.yaml", "demo.yaml"])
def test_shipped_configurations_are_valid(name):
    config = load(PipelineConfig, ROOT / "config" / name)
    for dataset in config.datasets:
        assert for_dataset(config, dataset) is not None


def test_the_benchmark_has_the_published_values():
    config = load(PipelineConfig, ROOT / "config" / "config.yaml")
    assert list(config.datasets) == ["colonoscopic", "kvasir_capsule", "cholect45"]
    assert all(dataset.page for dataset in config.datasets.values())
    assert (config.data.resolution, config.data.length) == (128, 16)
    autoencoder, diffusion = config.autoencoder.training, config.diffusion.training
    assert (autoencoder.learning_rate, autoencoder.batch_size, autoencoder.accumulate) == (3.6e-5, 1, 2)
    assert (diffusion.learning_rate, diffusion.batch_size, diffusion.accumulate) == (6e-5, 3, 2)
    assert config.diffusion.model.channel_mult == (1, 2, 3, 4)


def test_schema_is_up_to_date():
    written = json.loads((ROOT / "config" / "schema.json").read_text())
    assert written == PipelineConfig.model_json_schema(), "run: lvdm schema > config/schema.json"


def test_the_wording_of_a_licence_trains_nothing_again():
    def part(licence: str) -> TrainAutoencoderConfig:
        perceptual = {"path": "vgg16.pt", "size": 7, "licence": licence}
        return stage_config(pipeline(autoencoder={"loss": {"perceptual": perceptual}}), "one", "train-autoencoder")

    assert part("none") == part("some")
    assert part("none").loss.perceptual.size == 7


def test_messages_name_keys_as_they_are_written():
    with pytest.raises(ConfigError, match=r"^test: .*\n  autoencoder\.model\.depth: unknown key"):
        parse(PipelineConfig, {"datasets": {"a": {"videos": "*"}}, "autoencoder": {"model": {"depth": 1}}}, "test")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "prediction"}, "set `model.noise_levels` to `condition.max_noise_level` \\+ 1, 251"),
        ({"model": {"noise_levels": 251}}, "for the tasks prediction and interpolation"),
        ({"task": "prediction", "model": {"noise_levels": 251}, "condition": {"given": [4]}}, "stay below"),
        ({"task": "interpolation", "model": {"noise_levels": 251, "temporal_length": 2}}, "at least 3"),
        (
            {"task": "prediction", "model": {"noise_levels": 251}, "schedule": {"steps": 100}},
            "at most `schedule.steps`",
        ),
        ({"schedule": {"zero_terminal_snr": True}}, "set objective.prediction to `v` or `x0`"),
        ({"latent_stride": 2}, "diffusion.latent_stride 2"),
    ],
)
def test_parts_of_the_diffusion_model_that_do_not_fit(changes, message):
    with pytest.raises(ConfigError, match=message):
        parse(PipelineConfig, {"datasets": {"a": {"videos": "*"}}, "diffusion": changes}, "test")


def test_an_override_with_another_kind_replaces_what_it_overrides():
    frames = {"kind": "frames", "hidden_channels": 32, "channel_mult": [1, 2, 2, 2]}
    pipeline = parse(
        PipelineConfig,
        {
            "datasets": {
                "one": {
                    "videos": "*.mp4",
                    "override": {"autoencoder": {"model": frames}, "diffusion": {"model": {"temporal_length": 16}}},
                }
            },
            "autoencoder": {"model": {"hidden_channels": 8, "norm_groups": 8, "downsample": [4, 8, 8]}},
        },
        "test",
    )
    model = for_dataset(pipeline, "one").autoencoder.model
    assert (model.kind, model.hidden_channels, model.norm_groups, model.downsample) == ("frames", 32, 32, (1, 8, 8))


def test_the_guide_names_every_key():
    guide = (ROOT / "config" / "README.md").read_text()
    schemas = [PipelineConfig.model_json_schema(), ProtocolConfig.model_json_schema()]
    parts = [part for schema in schemas for part in [schema, *schema["$defs"].values()]]
    keys = {key for part in parts for key in part.get("properties", {})}
    assert [key for key in sorted(keys) if not re.search(rf"\b{key}\b", guide)] == []


# ------------------------------------------------------------------- words that YAML reads as truth values


class Worded(Config):
    """Every place that a word may stand in."""

    plain: Literal["auto", "on", "off"] = "auto"
    answer: Literal["yes", "no"] = "no"
    truth: Literal["true", "false"] | None = None
    listed: tuple[Literal["on", "off"], ...] = ()
    pair: tuple[int, Literal["yes", "no"]] = (0, "no")
    named: dict[str, Literal["off", "low"]] = Field({})
    either: bool | Literal["off"] = "off"
    switch: bool = False


class Nesting(Config):
    inner: Worded | None = None
    each: dict[str, Worded] = Field({})


@pytest.mark.parametrize(
    ("text", "field", "wanted"),
    [
        *((f"plain: {word}", "plain", word) for word in ("on", "off", "auto", "'off'")),
        *((f"answer: {word}", "answer", word) for word in ("yes", "no")),
        *((f"truth: {word}", "truth", word) for word in ("true", "false")),
        ("plain: Off", "plain", "off"),
        ("truth: null", "truth", None),
        ("listed: [on, off, on]", "listed", ("on", "off", "on")),
        ("pair: [3, yes]", "pair", (3, "yes")),
        ("named: {a: off, b: low}", "named", {"a": "off", "b": "low"}),
        ("either: off", "either", False),
        ("switch: on", "switch", True),
    ],
)
def test_a_word_that_yaml_reads_as_a_truth_value_is_the_word(tmp_path, text, field, wanted):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    wanted = wanted.strip("'") if isinstance(wanted, str) else wanted
    assert getattr(load(Worded, path), field) == wanted
    path.write_text(f"inner: {{{text}}}\neach: {{a: {{{text}}}}}")
    nesting = load(Nesting, path)
    assert getattr(nesting.inner, field) == getattr(nesting.each["a"], field) == wanted


def test_a_truth_value_where_no_word_stands_for_it_is_still_refused():
    for data in ({"named": {"a": True}}, {"pair": [False, "no"]}, {"answer": 1}):
        with pytest.raises(ConfigError, match="Input should be"):
            parse(Worded, data, "test")
    with pytest.raises(ConfigError, match="write it in quotes"):
        parse(Worded, yaml.safe_load("named: {off: low}"), "test")


def _worded(cls: type[BaseModel], keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every key of a configuration class, and of those in it, that has a word for a truth value, with the word."""
    for name, field in cls.model_fields.items():
        parts = list(_parts(field.annotation))
        yield from (((*keys, name), part) for part in parts if part in ("on", "off", "yes", "no", "true", "false"))
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _worded(part, (*keys, name))


def _parts(kind) -> Iterator:
    yield kind
    for part in get_args(kind):
        yield from _parts(part)


def test_every_such_word_of_the_pipeline_can_be_written_bare():
    found = dict.fromkeys(_worded(PipelineConfig))
    assert {(("compute", "compile"), "off"), (("data", "deinterlace"), "on")} <= set(found)
    for keys, word in found:
        data = yaml.safe_load(word)
        for key in reversed(keys):
            data = {key: data}
        config = pipeline(**data)
        for key in keys:
            config = getattr(config, key)
        assert config == word
    overridden = {"one": {**DATASETS["one"], "override": yaml.safe_load("compute: {compile: off}")}}
    assert for_dataset(parse(PipelineConfig, {"datasets": overridden}, "test"), "one").compute.compile == "off"


# ------------------------------------------------------------------------------------ what a stage sees


def test_override_holds_for_its_data_set_alone():
    datasets = {**DATASETS, "one": {**DATASETS["one"], "override": {"data": {"fps": 25.0}}}}
    config = parse(PipelineConfig, {"datasets": datasets}, source="test")
    assert for_dataset(config, "one").data.fps == 25.0
    assert for_dataset(config, "one").data.resolution == 128
    assert for_dataset(config, "two").data.fps is None


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"videos": {}}, "datasets.one.override.videos: no such section"),
        ({"datasets": {}}, "no such section"),
        ({"data": {"fsp": 1.0}}, "data.fsp: unknown key; did you mean 'fps'?"),
    ],
)
def test_wrong_override_is_named(override, said):
    datasets = {"one": {"videos": "x", "override": override}}
    config = parse(PipelineConfig, {"datasets": datasets}, source="test")
    with pytest.raises(ConfigError) as error:
        for_dataset(config, "one")
    assert said in str(error.value)


STAGES = [
    ("crop", ""),
    ("probe", ""),
    ("extract", ""),
    ("shard", ""),
    ("train-autoencoder", ""),
    ("encode", ""),
    ("train-diffusion", ""),
    ("sample", "ddim-50"),
    ("preview", ""),
]
TRAINS_ON = {"train-autoencoder", "encode", "train-diffusion", "sample", "features-real", "features-fake", "score"}


def scoring(whole: PipelineConfig, protocol: ProtocolConfig) -> dict[str, Config]:
    """What the stages of the scores see."""
    sides = {f"features-{side}": features_config(whole, protocol, "random3d", side) for side in ("real", "fake")}
    memorise = memorise_config(whole, protocol, "random3d")
    return {**sides, "score": score_config(whole, "one", "some", protocol, "random3d"), "memorise": memorise}


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"sample": {"samplers": {"ddim-50": {"steps": 10}}}}, {"sample"}),
        ({"sample": {"chunk_size": 2, "videos": 4}}, set()),
        ({"autoencoder": {"training": {"steps": 5}}}, {"train-autoencoder"}),
        ({"diffusion": {"objective": {"loss": "l2"}}}, {"train-diffusion"}),
        ({"evaluate": {"pairs": 5}}, {"memorise"}),
        ({"external": {"other": {"npz": "x.npz"}}}, set()),
        ({"data": {"crop": {"mode": "none"}}}, {"crop", "probe", "extract"}),
        ({"data": {"overlay": "keep"}}, {"crop", "probe", "extract"}),
        ({"data": {"cut": {"frozen": 1.0}}}, {"probe", "extract"}),
        ({"data": {"deinterlace": "on"}}, {"probe", "extract"}),
        ({"data": {"on_bad_video": "fail"}}, {"probe", "extract"}),
        ({"report": {"fps": 4.0}}, {"preview"}),
        ({"compute": {"threads": 1}}, TRAINS_ON),
        ({"results": "elsewhere"}, set()),
    ],
)
def test_a_change_reaches_just_the_stages_that_it_concerns(change, stale):
    before, after = pipeline(), pipeline(**change)
    changed = {
        stage
        for stage, name in STAGES
        if stage_config(before, "one", stage, name) != stage_config(after, "one", stage, name)
    }
    one, other = scoring(before, ProtocolConfig()), scoring(after, ProtocolConfig())
    assert changed | {stage for stage in one if one[stage] != other[stage]} == stale


@pytest.mark.parametrize(
    ("change", "stale"),
    [
        ({"metrics": {"bootstrap": 7}}, {"score"}),
        ({"metrics": {"kernel": {"subsets": 5}}}, {"score"}),
        ({"metrics": {"ddof": 0}}, {"score"}),
        ({"fake": {"jpeg_quality": 75}}, {"features-fake"}),
        ({"real": {"jpeg_quality": 75}}, {"features-real"}),
        ({"fake": {"clips": 5}}, {"features-fake"}),
        ({"fake": {"window_step": 8}}, {"features-fake"}),
        ({"real": {"starts": "random"}}, {"features-real"}),
        ({"real": {"stride": 2}}, {"features-real", "memorise"}),
        ({"real": {"split": "heldout"}}, set()),  # other shards, which are inputs
        ({"resize": {"size": 64}}, {"features-real", "features-fake", "memorise"}),
        ({"length": 8}, {"features-real", "features-fake", "memorise"}),
        ({"runs": 10}, {"features-real", "features-fake"}),
        ({"seed": 1}, {"features-real", "features-fake", "score"}),
    ],
)
def test_a_protocol_reaches_just_the_stages_that_it_concerns(change, stale):
    base = ProtocolConfig()
    changed = parse(ProtocolConfig, merge(base.model_dump(mode="json"), change), source="test")
    one, other = scoring(pipeline(), base), scoring(pipeline(), changed)
    assert {stage for stage in one if one[stage] != other[stage]} == stale


def test_another_wording_of_a_licence_changes_no_number():
    file = {"url": "https://example.org/a.pt", "size": 1}
    detectors = [{"random3d": {"kind": "i3d", "file": {**file, "licence": text}}} for text in ("one", "another")]
    one, other = (scoring(pipeline(evaluate={"detectors": part}), ProtocolConfig()) for part in detectors)
    assert one == other


def test_published_defaults_hold_beside_given_values():
    training = parse(TrainAutoencoderConfig, {"training": {"steps": 5}}, source="test").training
    assert (training.steps, training.learning_rate, training.betas) == (5, 3.6e-5, (0.5, 0.9))


# -------------------------------------------------------------------------------------- network files


def test_a_network_file_has_one_place():
    for places in ({}, {"url": "https://example.org/a.pt", "path": "a.pt"}):
        with pytest.raises(ConfigError, match="either a `url`, to be fetched, or a `path`"):
            parse(NetworkFile, {"size": 1, **places}, source="test")
    with pytest.raises(ConfigError, match="url: String should match"):
        parse(NetworkFile, {"url": "file:///etc/passwd", "size": 1}, source="test")


def test_the_name_in_the_cache_tells_contents_apart():
    url = "https://example.org/s/x%20y/i3d.pt?dl=1"
    names = [NetworkFile(url=url, **mark).name for mark in ({"sha256": "a" * 64}, {"git_blob": "b" * 40}, {"size": 3})]
    assert names[:2] == ["i3d-aaaaaaaaaaaa.pt", "i3d-bbbbbbbbbbbb.pt"]
    assert re.fullmatch(r"i3d-[0-9a-f]{12}\.pt", names[2])
    assert NetworkFile(url=url, size=4).name != names[2]
    assert re.fullmatch(r"x_y-[0-9a-f]{12}", NetworkFile(url="https://example.org/a/x%2F..%2Fx%20y", size=3).name)
    assert re.fullmatch(r"network-[0-9a-f]{12}", NetworkFile(url="https://example.org/a/", size=3).name)


@pytest.mark.parametrize("section", ["autoencoder", "diffusion"])
def test_the_number_of_gpus_is_no_part_of_a_training(section):
    """Another number makes nothing stale: it is a way to compute the same run."""
    shared = {section: {"training": {"accumulate": 4}}}
    several = {section: {"training": {"accumulate": 4}, "gpus": 2, "nodes": 2}}
    stage = f"train-{section}"
    assert stage_config(pipeline(**several), "one", stage) == stage_config(pipeline(**shared), "one", stage)


def test_gpus_that_cannot_share_the_batches_of_a_step_are_refused_with_the_remedy():
    with pytest.raises(ConfigError, match=r"diffusion: .*`training\.accumulate` is 1, and 2 processes.* such as 2"):
        pipeline(diffusion={"gpus": 2})
