"""Names that look like pieces of one source give a hint, and names of real data sets that are none do not."""

import random
import re
import uuid

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from lvdm.data.siblings import find_siblings

_RANDOM = random.Random(0)
HEX = [f"{_RANDOM.getrandbits(64):016x}" for _ in range(120)]
UUIDS = [str(uuid.UUID(int=_RANDOM.getrandbits(128))) for _ in range(400)]
LESIONS = [
    f"{kind}_{n:02}" for kind, count in (("adenoma", 40), ("hyperplastic", 21), ("serrated", 15)) for n in range(count)
]


def hint(stems):
    """The setting that is proposed, and the groups that it makes; ``None`` for no hint."""
    found = find_siblings(stems)
    if found is None:
        return None
    setting = yaml.safe_load(found.setting)["group"]
    groups = {}
    for stem in stems:
        if isinstance(setting, dict):
            parts = stem.split("/")
            key = parts[setting["folder"] - 1] if len(parts) > setting["folder"] else stem
        else:
            match = re.search(setting, stem)
            key = "-".join(filter(None, match.groups())) if match else stem
        groups.setdefault(key, []).append(stem)
    together = [members for members in groups.values() if len(members) > 1]
    assert (found.videos, found.groups) == (sum(map(len, together)), len(together)), "the setting does what is said"
    assert any(set(found.example) <= set(members) for members in together)
    return setting, groups


PIECES = {
    "stretches of a lesion": ([f"{v}-{s}-{s + 64}" for v in LESIONS for s in (0, 64, 128)], 76),
    "stretches of unequal length": (
        [f"{v}_{s}_{e}" for v in UUIDS[:20] for s, e in ((0, 90), (90, 100), (100, 400))],
        20,
    ),
    "parts of a case": (["case01_part1", "case01_part2", "case02_part1", "case03"], 3),
    "stretches named by a frame": ([f"video{v:02}_{n:06}" for v in range(8) for n in (123, 456, 7000)], 8),
    "a folder for each patient": ([f"patient{p:02}/{c}" for p in range(20) for c in "abcd"], 20),
    "a folder for each number": ([f"{p:03}/{c}" for p in range(8) for c in "12"], 8),
    "a folder for each code": ([f"P{p:03}/{c}" for p in range(5) for c in ("colon", "stomach")], 5),
    "a folder for each random code": ([f"{HEX[p]}/{c}" for p in range(8) for c in "12"], 8),
    "a folder for each video": ([f"video{v:02}/clip_{n}" for v in range(10) for n in range(3)], 10),
    "patients in centres": ([f"center{c}/patient{c}{p}/{v}" for c in (1, 2) for p in range(5) for v in "ab"], 10),
    "patients spelled twice": (["Patient 1/a", "Patient 1/b", "patient_2/a", "patient_2/b"], 2),
    "SUN-SEG": ([f"TestEasyDataset/Seen/Frame/case{a}_{b}" for a in range(1, 20) for b in (1, 3)], 19),
    "folds of cases": ([f"fold{f}/case{c}_{k}" for f in range(3) for c in range(f * 4, f * 4 + 4) for k in (1, 2)], 12),
    "Cholec80, pieces": (["cholec80_v01_008", "cholec80_v01_019", "cholec80_v02_100", "cholec80_v02_130"], 2),
    "two numbers": ([f"p{a:02}_v{b}" for a in range(5) for b in (1, 2)], 5),
    "visits": ([f"patient-{a:02}-{b:02}" for a in range(4) for b in (1, 2)], 4),
    "BIDS": ([f"sub-{a:02}_ses-{b}_run-{c}" for a in range(4) for b in (1, 2) for c in (1, 2)], 4),
    "two lights": ([f"{v}_{light}" for v in LESIONS for light in ("NBI", "WL")], 76),
    "letters": ([f"op{a:02}{letter}" for a in range(10) for letter in "ab"], 10),
    "copies": ([f"op{a:02} ({n})" for a in range(10) for n in (1, 2)], 10),
    "frames of random names": ([f"{name}_{n:05}" for name in HEX[:6] for n in (12, 4000)], 6),
    "parts of words": (["stomach_part1", "stomach_part2", "colon", "other part1", "other part2"], 3),
    "JIGSAWS": ([f"Suturing_{s}00{n}_capture{c}" for s in "BCD" for n in range(1, 6) for c in (1, 2)], 15),
    "C3VD": (["cecum_t1_a", "cecum_t1_b", "cecum_t2_a", "cecum_t2_b", "trans_t1_a"], 3),
}


@pytest.mark.parametrize("kind", PIECES)
def test_pieces_are_seen_and_put_together(kind):
    stems, sources = PIECES[kind]
    assert len(hint(stems)[1]) == sources


def test_the_line_can_be_pasted():
    stems = [f"{v}-{s}-{s + 64}" for v in LESIONS for s in (0, 64, 128)]
    assert str(find_siblings(stems)).endswith(r'write group: "^(.*)-\\d+-\\d+$"')
    assert "228 videos look like pieces of 76 sources, e.g. 'adenoma_00-0-64' and" in str(find_siblings(stems))


APART = {
    "patients": [f"patient-{n:02}" for n in range(1, 21)],
    "cases": [f"train/case_{n}" for n in range(30)],
    "Cholec80": [f"video{n:02}" for n in range(1, 81)],
    "Cholec80 and CholecT45": [
        *(f"cholec80/videos/video{n:02}" for n in range(1, 81)),
        *(f"data/VID{n:02}" for n in range(45)),
    ],
    "HyperKvasir": [f"labeled-videos/lower-gi-tract/{UUIDS[n]}" for n in range(374)],
    "HyperKvasir, classes": [
        f"{c}/{UUIDS[k]}" for k in range(240) for c in [("polyps", "cancer", "bbps-0-1", "bbps-2-3")[k % 4]]
    ],
    "Kvasir-Capsule": [*(f"labelled_videos/{n}" for n in HEX[:43]), *(f"unlabelled_videos/{n}" for n in HEX[43:117])],
    "Colonoscopic": LESIONS,
    "Colonoscopic, folders": [f"{lesion.partition('_')[0]}/{lesion}" for lesion in LESIONS],
    "LDPolypVideo": [
        f"{part}/Videos/{n}" for part, count in (("TrainValid", 100), ("Test", 60)) for n in range(1, count)
    ],
    "Nerthus": [f"{score}/bowel_{n}_score_{score}" for score in range(4) for n in range(1, 6)],
    "CATARACTS": [f"{part}{n:02}" for part in ("train", "test") for n in range(1, 26)],
    "AutoLaparo": [f"{n:02}" for n in range(1, 22)],
    "HeiChole": [f"Hei-Chole{n}" for n in range(1, 25)],
    "SurgToolLoc": [f"clip_{n:06}" for n in range(500)],
    "days": [f"2024-0{month}-{day:02}" for month in range(1, 9) for day in (3, 12, 20)],
    "times of a recorder": [f"REC_202401{day:02}_1203{n:02}" for day in range(1, 9) for n in range(5)],
    "numbers of a day": [f"IMG_202401{day:02}_{n:02}" for day in range(1, 9) for n in range(5)],
    "years": [f"study{year}_{n:03}" for year in (2021, 2022, 2023) for n in range(40)],
    "years in brackets": [f"[{year}] study/{n}" for year in (2023, 2024) for n in "abc"],
    "folds": [f"fold{f}/video{n}" for f in range(5) for n in range(f * 10, f * 10 + 10)],
    "classes": [f"class_{n % 4}/{UUIDS[n]}" for n in range(40)],
    "training and test": [f"{part}/{n:03}" for part in ("train", "test") for n in range(50)],
    "centres": [f"center_{c}/video_{n:03}" for c in (1, 2, 3) for n in range(c * 100, c * 100 + 20)],
    "centres in names": [f"center{c}_{n:03}" for c in (1, 2, 3) for n in range(c * 100, c * 100 + 20)],
    "two models": [f"CV{model}_{n:03}" for model in (180, 190) for n in range(20)],
    "AVCHD": [f"STREAM/{n:05}" for n in range(40)],
    "GoPro": [f"GOPR{n:04}" for n in range(100, 140)],
    "archives": [f"part{n}" for n in range(9)],
    "a size in the name": [f"v{n:02}_1080p" for n in range(20)],
    "scenes": ["endonerf_clip1", "endonerf_clip2", "endonerf_pulling"],
    "names": ["mueller/a", "mueller/b", "schmidt/a"],
    "one": ["a"],
    "none": [],
}


@pytest.mark.parametrize("kind", APART)
def test_videos_of_their_own_give_no_hint(kind):
    assert hint(APART[kind]) is None


@given(st.sets(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=15), max_size=15))
def test_any_names_can_be_looked_at(stems):
    hint(sorted(stems))


@given(st.text("abcxyz_- ", min_size=1, max_size=10), st.integers(2, 300), st.integers(0, 4))
def test_one_row_of_numbers_is_no_hint(word, count, digits):
    assert hint([f"{word}{n:0{digits}}" for n in range(count)]) is None
