"""The code in docs/long_videos.md runs and says what it prints."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "long_videos.md"


def test_the_example_runs(capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    names = {}
    exec(example, names)
    assert names["latents"].shape == (2, 4, 25, 4, 4)
    assert capsys.readouterr().out.splitlines() == [f"(2, 3, {frames}, 32, 32)" for frames in (44, 24, 32)]
