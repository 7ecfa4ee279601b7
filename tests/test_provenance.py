"""Code stamps: what changes them, and what does not."""

import textwrap

import pytest

from lvdm.provenance import code_stamp, versions


@pytest.fixture
def package(tmp_path):
    """A small package of the same name: stages.sample imports diffusion, and in a function models."""
    files = {
        "__init__": "",
        "config": "DEFAULT = 1\n",
        "progress": "def track(items):\n    return items\n",
        "diffusion/__init__": "",
        "diffusion/samplers": "def step(x):\n    return x + 1\n",
        "models/__init__": "",
        "models/unet": "WIDTH = 3\n",
        "evaluation/__init__": "",
        "evaluation/metrics": "def distance():\n    return 0\n",
        "stages/__init__": "",
        "stages/sample": """
            from lvdm.config import DEFAULT
            from lvdm.diffusion import samplers
            from lvdm.progress import track

            def run():
                from lvdm.models.unet import WIDTH
                return samplers.step(WIDTH)
        """,
    }
    for name, text in files.items():
        path = tmp_path / "lvdm" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path


def _edit(package, name, old, new):
    path = package / "lvdm" / f"{name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def _stamp(package):
    return code_stamp("lvdm.stages.sample", package)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("stages/sample", "step(WIDTH)", "step(WIDTH + 1)"),
        ("diffusion/samplers", "x + 1", "x + 2"),
        ("models/unet", "WIDTH = 3", "WIDTH = 4"),
    ],
)
def test_a_changed_statement_of_an_imported_module_changes_the_stamp(package, module, old, new):
    before = _stamp(package)
    _edit(package, module, old, new)
    changed = _stamp(package)
    assert changed != before
    _edit(package, module, new, old)
    assert _stamp(package) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("diffusion/samplers", "return x + 1", "return x  +  1  # a reason"),
        ("diffusion/samplers", "def step(x):\n", 'def step(x):\n    """One step."""\n'),
        ("models/unet", "WIDTH = 3", '"""The network."""\n\nWIDTH = 3'),
        ("evaluation/metrics", "return 0", "return 1"),
        ("config", "DEFAULT = 1", "DEFAULT = 2"),
        ("progress", "return items", "return list(items)"),
    ],
    ids=["comment", "docstring", "module docstring", "not imported", "configuration", "progress"],
)
def test_what_cannot_change_the_result_leaves_the_stamp(package, module, old, new):
    before = _stamp(package)
    _edit(package, module, old, new)
    assert _stamp(package) == before


def test_an_unknown_module_is_an_error(package):
    with pytest.raises(FileNotFoundError, match="nothing"):
        code_stamp("lvdm.stages.nothing", package)


def test_versions_name_the_packages_that_results_depend_on():
    found = versions()
    assert {"python", "lvdm", "torch", "numpy"} <= set(found)
    assert all(found.values())
