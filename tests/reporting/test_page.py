"""The page: whole, offline, and without errors in a browser at the width of a desktop and of a phone."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from lvdm.stages import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


# Two data sets, each with report.videos (4) of three generators and of the real clips, and 3 pairs of each generator.
CLIPS = 2 * 4 * 4
VIDEOS = CLIPS + 2 * 3 * 3


class Links(HTMLParser):
    """Collects what a page refers to, and its identifiers."""

    def __init__(self, html: str):
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("src", "href", "srcset", "poster"):
                self.targets.append(value)
            elif name == "id":
                self.ids.add(value)


@pytest.fixture(scope="module")
def page(report_config, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("results") / "report" / "index.html"
    report.run(report_config, page=path)
    return path


def test_everything_that_is_linked_is_there(page):
    links = Links(page.read_text(encoding="utf-8"))
    used = set()
    for target in links.targets:
        if target.startswith("#"):
            assert unquote(target[1:]) in links.ids
        elif not target.startswith("data:"):
            assert (page.parent / unquote(target)).is_file(), target
            used.add(unquote(target))
    present = {str(path.relative_to(page.parent)) for path in (page.parent / "media").rglob("*") if path.is_file()}
    assert used == present
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "media"}


def test_no_network_is_needed(page):
    html = page.read_text(encoding="utf-8")
    assert not re.search(r"https?:|//\w+\.\w+|@import", html)
    for figure in (page.parent / "media").rglob("*.svg"):
        assert not re.search(r'(?:href|src)="(?!#)', figure.read_text(encoding="utf-8"))


def test_the_page_says_what_it_must(page, report_config):
    html = page.read_text(encoding="utf-8")
    results = (
        "colonoscopic",
        "kvasir_capsule",
        "Fréchet distance&nbsp;↓",
        "noise against real",
        "28.31",
        "FVD∞&nbsp;↓",
    )
    scores = (
        "[135, 172.5]",
        "<b>150</b>",
        "468.5",
        "published, not measured",
        'class="warning"',
        "Protocol stylegan_v",
    )
    data = ("not a video", "has 9 frames after extraction", "1080 × 1080 from (420, 0)")
    making = ("random weights", "learning_rate: 6.0e-05", "0123456789abcdef", "<dt>torch</dt>", "<dt>python</dt>")
    nearest = (
        "other-gan, by i3d under protocol lossless",
        "nearer than every held-out clip",
        "patient-01 from frame 16",
    )
    costs = ("<td>41.3 GB</td>", "SLURM&#39;s accounting")
    for part in (*results, *scores, *data, *making, *nearest, *costs):
        assert part in html, part
    assert html.count("<video ") == VIDEOS
    assert html.count("autoplay muted loop playsinline") == html.count("<video ")


def test_configurations_are_in_the_order_of_the_pipeline(page):
    html = page.read_text(encoding="utf-8")
    listed = re.findall(r"<summary><span>([^<]+)</span><code>", html)
    assert listed[: len(listed) // 2] == [
        "extract",
        "train-autoencoder",
        "sample.dpm-20",
        "sample.ddim-50",
        "preview",
        "features.lossless@i3d@real",
    ]


def test_without_generated_videos_there_are_real_ones_and_references(report_config, tmp_path):
    """A training for prediction draws no clips."""
    dataset = report_config.datasets[1].replace(generated_previews=[], models=[])
    rows = pd.read_csv(dataset.table, dtype=str, keep_default_na=False)
    rows[rows["model"].isin(["real", "noise", "autoencoder"])].to_csv(tmp_path / "table.csv", index=False)
    dataset = dataset.replace(table=str(tmp_path / "table.csv"))
    report.run(report_config.model_copy(update={"datasets": (dataset,)}), page=tmp_path / "report" / "index.html")
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert html.count("<video ") == 4
    assert "Memorisation" not in html
    assert "real against real" in html


def test_the_same_files_make_the_same_page_and_replace_the_media(page, report_config, tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "old.mp4").touch()
    report.run(report_config, page=tmp_path / "index.html")
    for path in page.parent.rglob("*.*"):
        assert (tmp_path / path.relative_to(page.parent)).read_bytes() == path.read_bytes()
    assert len(list(tmp_path.rglob("*"))) == len(list(page.parent.rglob("*")))


def test_failure_leaves_the_earlier_page(page, report_config, tmp_path):
    shutil.copytree(page.parent, tmp_path / "report")
    before = {path: path.is_dir() or path.read_bytes() for path in (tmp_path / "report").rglob("*")}
    broken = report_config.datasets[1].replace(real_previews=str(tmp_path / "none"))
    config = report_config.model_copy(update={"datasets": (broken,)})
    with pytest.raises(ValueError, match="none holds no"):
        report.run(config, page=tmp_path / "report" / "index.html")
    assert {path: path.is_dir() or path.read_bytes() for path in (tmp_path / "report").rglob("*")} == before


def test_text_of_others_is_escaped(report_config, tmp_path):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("id,usable,reason,width,height\nx,False,<script>alert(1)</script>,0,0\n")
    dataset = report_config.datasets[0].replace(manifest=str(manifest), records=[])
    report.run(report_config.model_copy(update={"datasets": (dataset,)}), page=tmp_path / "report" / "index.html")
    html = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html


# Goes from video to video, for only what is in view plays, until each has played, in real time, as decoding takes
# some; then, or after two minutes, says what it found.
_PROBE = """
<script>
const errors = [];
addEventListener("error", (e) => errors.push(e.message || e.target.src || e.target.tagName), true);
addEventListener("unhandledrejection", (e) => errors.push(String(e.reason)));
const all = (selector) => [...document.querySelectorAll(selector)];
let waits = 0;
const look = () => {
  const playing = all("video").filter((video) => video.currentTime > 0);
  const waiting = all("video").find((video) => video.currentTime === 0);
  if ((document.readyState !== "complete" || waiting) && ++waits < 1200) {
    waiting?.scrollIntoView({behavior: "instant", block: "center"});
    return setTimeout(look, 100);
  }
  console.log("FOUND " + encodeURIComponent(JSON.stringify({
    errors,
    images: all("img").map((image) => image.naturalWidth),
    videos: all("video").map((video) => video.videoWidth),
    playing: playing.length,
    width: [document.documentElement.scrollWidth, innerWidth],
    button: document.getElementById("playing").textContent,
  })) + " END");
};
setTimeout(look, 100);
</script>
"""


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: apt-get install chromium)")
@pytest.mark.parametrize("width", [1280, 390])
def test_in_a_browser(page, width, tmp_path):
    found = look_at(page, width, tmp_path)
    assert found["errors"] == []
    assert found["images"]
    assert min(found["images"]) > 0
    # A pair is two clips and the gap between them.
    assert sorted(found["videos"]) == [128] * CLIPS + [260] * (VIDEOS - CLIPS)
    assert found["playing"] == VIDEOS
    # Nothing sticks out sideways.
    assert found["width"] == [width, width]
    assert found["button"] == "Pause videos"


def look_at(page: Path, width: int, folder: Path) -> dict:
    """Open a copy of the page in a frame of ``width``; the window itself cannot be made as narrow as a phone."""
    shutil.copytree(page.parent, folder / "report")
    copy = folder / "report" / "index.html"
    copy.write_text(copy.read_text(encoding="utf-8").replace("<head>", "<head>" + _PROBE), encoding="utf-8")
    command = [
        CHROMIUM,
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--enable-logging=stderr",
    ]
    command += [f"--user-data-dir={folder / 'profile'}", "--window-size=1400,1300", "--remote-debugging-port=0"]
    frame = folder / "frame.html"
    frame.write_text(f'<iframe src="{copy.as_uri()}" style="width: {width}px; height: 1200px; border: 0"></iframe>')
    with subprocess.Popen([*command, frame.as_uri()], stderr=subprocess.PIPE, text=True, errors="replace") as browser:
        try:
            for line in browser.stderr:
                message = re.search(r"FOUND (\S+) END", line)
                if message:
                    return json.loads(unquote(message[1]))
        finally:
            browser.terminate()
    pytest.fail("the browser ended before it had looked at the page")
