"""Recipes in a configuration, what they state, and that they come with the installed package."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lvdm.config import ConfigError, load, parse
from lvdm.data import recipes
from lvdm.data.config import GroupConfig, RecipeConfig
from lvdm.stages.parts import for_dataset
from lvdm.stages.pipeline import DatasetConfig, PipelineConfig

ROOT = Path(__file__).parents[2]
RECIPES = recipes.names()


def pipeline(**entry) -> PipelineConfig:
    return parse(PipelineConfig, {"datasets": {"a": entry}}, "test")


def dataset(**entry) -> DatasetConfig:
    return pipeline(**entry).datasets["a"]


@pytest.mark.parametrize("name", RECIPES)
def test_a_data_set_takes_a_recipe_by_its_name(name):
    recipe, taken = recipes.read(name), dataset(recipe=name)
    places = (
        [taken.frames] if taken.videos is None else [taken.videos] if isinstance(taken.videos, str) else taken.videos
    )
    assert all(place == recipe.folder or place.startswith(f"{recipe.folder}/") for place in places)
    assert taken.page == recipe.page
    assert taken.group == (None if recipe.group is None else GroupConfig(pattern=recipe.group))


@pytest.mark.parametrize("name", RECIPES)
def test_what_is_taken_is_taken_again_as_it_is(name):
    """Every stage parses the configuration again that it cuts its part out of."""
    config = pipeline(recipe=name, override={"data": {"fps": 5.0}})
    again = parse(PipelineConfig, config.model_dump(mode="json"), "test")
    assert again == config
    assert for_dataset(config, "a").datasets == config.datasets


def test_the_benchmark_is_what_it_was():
    config = load(PipelineConfig, ROOT / "config" / "config.yaml")
    places = {name: data.videos or data.frames for name, data in config.datasets.items()}
    assert places == {
        "colonoscopic": "data/colonoscopic/**/*.mp4",
        "kvasir_capsule": "data/kvasir_capsule/**/*.mp4",
        "cholect45": "data/cholect45",
    }
    assert [name for name, data in config.datasets.items() if data.override] == ["colonoscopic"]
    for name in config.datasets:
        whole = for_dataset(config, name)
        assert (whole.data, whole.autoencoder, whole.diffusion) == (config.data, config.autoencoder, config.diffusion)


def test_keys_beside_a_recipe_win():
    assert dataset(recipe="cholec80", folder="/archive").videos == "/archive/videos/*.mp4"
    assert dataset(recipe="cholect45", folder="/archive").frames == "/archive"
    moved = dataset(recipe="cholect45", videos=["one/*.mp4", "two/*.mp4"], page="https://example.org", group="(x)")
    assert (moved.videos, moved.frames, moved.page) == (("one/*.mp4", "two/*.mp4"), None, "https://example.org")
    assert moved.group == GroupConfig(pattern="(x)")
    assert dataset(recipe="cholect45", frames="elsewhere").frames == "elsewhere"
    assert dataset(recipe="cholect45", group=None).group is None


def test_overrides_are_laid_over_each_other():
    fold = list(recipes.read("cholec80").folds["test"])
    assert dataset(recipe="cholec80", fold="test").override == {"data": {"split": {"heldout": fold}}}
    given = {"data": {"fps": 5.0, "split": {"heldout": 0.5}}}
    assert dataset(recipe="cholec80", fold="test", override=given).override == given
    frames = dataset(recipe="endora_frames", override={"data": {"fps": 5.0}}).override
    assert frames == {"data": {"crop": {"mode": "none"}, "fps": 5.0}}


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"recipe": "colonoscopy"}, "datasets.a: there is no recipe 'colonoscopy'; there are cholec80, cholect45, "),
        ({"recipe": "../config"}, "there is no recipe '../config'"),
        ({"recipe": "cholec80", "fold": "val"}, "datasets.a: Cholec80 has no fold 'val'; there are train, test"),
        ({"recipe": "sun", "fold": "test"}, "has no fold 'test'; none is published"),
        ({"recipe": 3}, "datasets.a.recipe: "),
        ({"recipe": "sun", "folder": 3}, "datasets.a.folder: "),
        ({"recipe": "cholec80", "fold": ["test"]}, "datasets.a.fold: "),
        ({"recipe": "sun", "override": [1]}, "datasets.a.override: "),
        ({"videos": "x", "folder": "y"}, "datasets.a: `folder` and `fold` are those of a recipe"),
        ({"recipe": "sun", "videos": "x", "frames": "y"}, "datasets.a: give either `videos`"),
        ({}, "or a `recipe`"),
    ],
)
def test_wrong_entries_are_refused(entry, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        dataset(**entry)


def test_a_recipe_is_strict():
    data = recipes.read("cholec80").model_dump(mode="json")
    with pytest.raises(ConfigError, match="licences: unknown key; did you mean 'licence'"):
        parse(RecipeConfig, data | {"licences": "x"}, "test")
    with pytest.raises(ConfigError, match="either `videos` or `frames`"):
        parse(RecipeConfig, data | {"frames": "."}, "test")
    with pytest.raises(ConfigError, match="`test_fold` other is none of the folds train, test"):
        parse(RecipeConfig, data | {"test_fold": "other"}, "test")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_where_it_was_read(name):
    recipe = recipes.read(name)
    assert any(source.startswith("https://") for source in recipe.sources)
    assert "published" in recipe.patients or "names" in recipe.patients or "metadata" in recipe.patients
    if recipe.group is not None:
        assert re.compile(recipe.group).groups >= 1
    assert all(not set(one) & set(other) for one, other in _folds_that_part(recipe))


def _folds_that_part(recipe: RecipeConfig) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Pairs of folds: all but those of Kvasir-Capsule, whose two parts are published with seven videos in common."""
    folds = list(recipe.folds.values())
    if recipe.title == "Kvasir-Capsule":
        assert len(set(folds[0]) & set(folds[1])) == 7
        return []
    return [(one, other) for number, one in enumerate(folds) for other in folds[:number]]


def test_one_second_between_frames_is_said():
    assert any("16 s of surgery" in note for note in recipes.notes("cholect45"))
    assert recipes.notes(None) == []


def test_the_table_of_the_docs_has_every_recipe():
    rows = re.findall(
        r"^\| `(\w+)` \| \[[^]]+\]\(([^)]+)\)", (ROOT / "docs" / "recordings.md").read_text(), re.MULTILINE
    )
    assert dict(rows) == {name: recipes.read(name).page for name in RECIPES}


@pytest.mark.slow
def test_recipes_and_protocols_come_with_the_wheel(tmp_path):
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(tmp_path),
        str(_copy(tmp_path)),
    ]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(installed)
    for kind in ("datasets", "protocols"):
        stated = {f"lvdm/shipped/{kind}/{path.name}" for path in (ROOT / "config" / kind).glob("*.yaml")}
        assert stated == {name for name in names if name.startswith(f"lvdm/shipped/{kind}/")}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "lvdm").rglob("*.py")}
    assert modules == {name for name in names if name.endswith(".py")}
    assert "lvdm/reporting/page.css" in names
    code = (
        "import lvdm; from lvdm.data import recipes; from lvdm.stages.sources import read_protocols; "
        "print(lvdm.__file__, *recipes.names(), recipes.read('sun').title, *read_protocols(['lossless', 'endora']))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True
    )
    said = [str(installed / "lvdm" / "__init__.py"), *RECIPES, recipes.read("sun").title, "lossless", "endora"]
    assert run.stdout.strip() == " ".join(said), run.stderr


def _copy(folder: Path) -> Path:
    """What a wheel is made of, so that the build leaves nothing in the checkout."""
    copy = folder / "source"
    copy.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        (copy / name).write_bytes((ROOT / name).read_bytes())
    for path in [*(ROOT / "lvdm").rglob("*"), *(ROOT / "config").rglob("*.yaml")]:
        if path.is_file() and "__pycache__" not in path.parts:
            target = copy / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return copy
