"""Each recipe on a faked archive with the published names: the right videos, the right groups, one list anywhere."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from lvdm.config import parse
from lvdm.data import recipes
from lvdm.data.clip_list import ListedVideo, clips_hash
from lvdm.data.splits import HELDOUT, TRAIN
from lvdm.stages import sources
from lvdm.stages.pipeline import PipelineConfig


@dataclass(frozen=True)
class Archive:
    """Files as they are unpacked, the group of each video by its path (a frame folder is a video), and other files."""

    videos: dict[str, str]
    others: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()
    """Names of the frames in each frame folder; none where videos are files."""
    odd: tuple[str, ...] = ()
    """Videos that the pattern does not find, each of which is a group of its own."""

    def files(self) -> Iterator[str]:
        for video in (*self.videos, *self.odd):
            yield from (f"{video}/{frame}" for frame in self.frames) if self.frames else (video,)
        yield from self.others


def _colonoscopic() -> Archive:
    classes = {"Hyperplasic": 21, "Serrated": 15, "Adenoma": 40}
    lesions = [(kind, f"{kind.lower()}_{n:02}") for kind, count in classes.items() for n in range(1, count + 1)]
    videos = {f"{kind}/{lesion}/videos/{light}.mp4": lesion for kind, lesion in lesions for light in ("WL", "NBI")}
    return Archive(videos, ("index.html", "Adenoma/adenoma_01/videos/._WL.mp4", "__MACOSX/Adenoma/WL.mp4"))


def _kvasir_capsule() -> Archive:
    folds = recipes.read("kvasir_capsule").folds
    labelled = sorted({video for fold in folds.values() for video in fold})
    unlabelled = [hashlib.sha256(bytes([n])).hexdigest()[:16] for n in range(74)]
    videos = {f"labelled_videos/{name}.mp4": name for name in labelled}
    videos |= {f"unlabelled_videos/{name}.mp4": name for name in unlabelled}
    return Archive(
        videos, ("metadata.csv", "labelled_images/Polyp/04a78ef00c5245e0_1001.jpg", "official_splits/split_0.csv")
    )


def _operations() -> list[int]:
    """The 45 of Cholec80 that CholecT45 labels."""
    return sorted(int(video.removeprefix("VID")) for fold in recipes.read("cholect45").folds.values() for video in fold)


def _cholect45() -> Archive:
    names = [f"VID{number:02}" for number in _operations()]
    labels = [f"{kind}/{name}.txt" for kind in ("triplet", "instrument", "verb", "target") for name in names]
    return Archive(
        {name: name for name in names},
        (*labels, "dict/maps.txt", "README.md"),
        ("000000.png", "000001.png", "000010.png"),
    )


def _cholec80(chosen: Callable[[int], bool] = lambda number: True) -> Archive:
    names = [f"video{number:02}" for number in range(1, 81)]
    beside = [f"videos/{name}-timestamp.txt" for name in names]
    beside += [f"phase_annotations/{name}-phase.txt" for name in names]
    beside += [f"tool_annotations/{name}-tool.txt" for name in names]
    beside += [f"videos/{name}.mp4" for name in names if not chosen(int(name[-2:]))]
    return Archive({f"videos/{name}.mp4": name for name in names if chosen(int(name[-2:]))}, tuple(beside))


def _cholect45_25fps() -> Archive:
    labelled = set(_operations())
    return _cholec80(lambda number: number in labelled)


def _hyperkvasir() -> Archive:
    lower, upper = "labeled-videos/lower-gi-tract", "labeled-videos/upper-gi-tract"
    names = [
        f"{lower}/pathological-findings/polyps/11305ea5-389a-46c8-95f3-94a1af84247d.avi",
        f"{lower}/pathological-findings/colitis/7e3731a7-51f6-4415-9038-41322f6e4746.avi",
        f"{lower}/therapeutic-interventions/dyed-lifted-polyps/Polypp 5.avi",
        f"{lower}/therapeutic-interventions/dyed-lifted-polyps/polypp 4.avi",
        f"{lower}/therapeutic-interventions/dyed-lifted-polyps/polypp 16.avi",
        f"{lower}/therapeutic-interventions/dyed-lifted-polyps/polypp16.avi",
        f"{lower}/quality-of-mucosal-views/BBPS-2-3/05a868ca-4a74-49d6-8769-b0d62d828d95.mpg",
        f"{upper}/anatomical-landmarks/z-line/f3cbaea8-c26a-4ccf-8c3e-f7c3d939b818.avi",
    ]
    others = (
        "labeled-videos/video-labels.csv",
        "labeled-images/lower-gi-tract/pathological-findings/polyps/0d486f49-7a49-4dc4-89fc-48b381307320.jpg",
        "segmented-images/images/cju0qkwl35piu0993l0dewei2.jpg",
        "segmented-images/masks/cju0qkwl35piu0993l0dewei2.jpg",
        "unlabeled-images/images/000a1b.jpg",
    )
    return Archive({}, others, odd=tuple(names))


def _ldpolypvideo() -> Archive:
    parts = {n: "TrainValid" if n <= 100 else "Test" for n in range(1, 161)}
    videos = {f"LDPolypVideo/{part}/Images/{n}": str(n) for n, part in parts.items()}
    boxes = [f"LDPolypVideo/{part}/Annotations/{n}/0001.txt" for n, part in parts.items()]
    return Archive(videos, (*boxes, "videos_with_polyps/1.avi"), ("0001.jpg", "0002.jpg"))


def _ldpolypvideo_unlabelled() -> Archive:
    videos = {f"videos_{kind}_polyps/{n}.avi": f"{kind}-{n}" for kind in ("with", "without") for n in range(1, 6)}
    return Archive(videos, ("LDPolypVideo/TrainValid/Images/1/0001.jpg", "videos_with_polyps.zip"))


def _sun() -> Archive:
    videos = {f"sundatabase_positive_part{1 + (n > 50)}/case{n}": f"positive-case{n}" for n in range(1, 101)}
    videos |= {f"sundatabase_negative_part{1 + n // 4}/case{n}": f"negative-case{n}" for n in range(1, 14)}
    name = "case_M_20181001100941_0U62372100109341_1_005_001-1_{}_ayy_image0001.jpg"
    boxes = tuple(f"sundatabase_positive_part1/annotation_txt/case{n}.txt" for n in range(1, 101))
    return Archive(videos, boxes, (name.format("a2"), name.format("a13")))


def _sun_seg() -> Archive:
    clips = {
        "TrainDataset": ["case1_1", "case1_3", "case2_1", "case4", "case10_2"],
        "TestEasyDataset/Seen": ["case2_3"],
        "TestEasyDataset/Unseen": ["case3_1", "case60"],
        "TestHardDataset/Seen": ["case1_2"],
        "TestHardDataset/Unseen": ["case10_1", "case100_1"],
    }
    places = [(part, clip) for part, names in clips.items() for clip in names]
    kinds = ("GT", "Edge", "Scribble", "Polygon")
    masks = [f"{part}/{kind}/{clip}/image_name_00001.png" for part, clip in places for kind in kinds]
    videos = {f"{part}/Frame/{clip}": clip.partition("_")[0] for part, clip in places}
    return Archive(
        videos,
        (*masks, "TrainDataset/Detection/bbox_annotation.json", "TrainDataset/Classification/classification.txt"),
        ("image_name_00001.jpg", "image_name_00002.jpg"),
    )


_PIECES = {
    "adenoma_01_WL-0-120": "adenoma_01",
    "adenoma_01_WL-120-240": "adenoma_01",
    "adenoma_01_NBI-0-98": "adenoma_01",
    "adenoma_10_WL-0-98": "adenoma_10",
    "04a78ef00c5245e0-0-150": "04a78ef00c5245e0",
    "04a78ef00c5245e0-150-300": "04a78ef00c5245e0",
    "VID01-0-150": "VID01",
    "VID01-1500-1650": "VID01",
    "indexed-train_set_abnormal-1_33_outp-0-512": "indexed-train_set_abnormal-1_33_outp",
    "indexed-train_set_abnormal-33_outp-0-98": "indexed-train_set_abnormal-33_outp",
    "indexed-test_set-abnormal_test-Images-105-0-130": "indexed-test_set-abnormal_test-Images-105",
    "3624191f-8fb3-40ba-b421-fb5d0b2e10fb-0-434": "3624191f-8fb3-40ba-b421-fb5d0b2e10fb",
    "3624191f-8fb3-40ba-b421-fb5d0b2e10fb-434-900": "3624191f-8fb3-40ba-b421-fb5d0b2e10fb",
}


def _endora_pieces() -> Archive:
    videos = {f"{piece}.mp4": source for piece, source in _PIECES.items()}
    return Archive(videos, ("train.csv",), odd=("00001.mp4", "00002.mp4"))


def _endora_frames() -> Archive:
    frames = ("000000.jpg", "000001.jpg", "000010.jpg")
    return Archive(dict(_PIECES), ("train_128_list.txt",), frames, odd=("00001",))


ARCHIVES: dict[str, Callable[[], Archive]] = {
    "cholec80": _cholec80,
    "cholect45": _cholect45,
    "cholect45_25fps": _cholect45_25fps,
    "colonoscopic": _colonoscopic,
    "endora_frames": _endora_frames,
    "endora_pieces": _endora_pieces,
    "hyperkvasir": _hyperkvasir,
    "kvasir_capsule": _kvasir_capsule,
    "ldpolypvideo": _ldpolypvideo,
    "ldpolypvideo_unlabelled": _ldpolypvideo_unlabelled,
    "sun": _sun,
    "sun_seg": _sun_seg,
}


def unpack(files: Iterable[str], root: Path) -> Path:
    """Small files, no two of the same content, since copies are left out."""
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory) -> Callable[[str], Path]:
    """The folder that the archive of a recipe is unpacked in, once for all tests that change nothing in it."""

    @cache
    def folder(recipe: str) -> Path:
        return unpack(ARCHIVES[recipe]().files(), tmp_path_factory.mktemp(recipe) / "archive")

    return folder


def found(recipe: str, folder: Path, **entry) -> sources.Videos:
    entry = {"recipe": recipe, "folder": str(folder), **entry}
    data = {"results": str(folder.parent / "results"), "datasets": {"public": entry}}
    return sources.videos(parse(PipelineConfig, data, "test"), "public")


def groups(videos: sources.Videos, folder: Path) -> dict[str, str]:
    """The group of each video, by its path below the folder of the data set."""
    return {Path(path).relative_to(folder).as_posix(): videos.groups[id] for id, path in videos.paths.items()}


def listed_hash(videos: sources.Videos) -> str:
    """As the table would have it, of pieces whose lengths follow from the names."""
    return clips_hash(ListedVideo(id, videos.groups[id], videos.sides[id], (len(id), 7)) for id in videos.paths)


def test_every_recipe_has_an_archive():
    assert list(ARCHIVES) == recipes.names()


@pytest.mark.parametrize("recipe", ARCHIVES)
def test_a_recipe_lists_its_videos_and_their_groups(recipe, folder_of):
    archive, folder = ARCHIVES[recipe](), folder_of(recipe)
    videos = found(recipe, folder)
    stated = groups(videos, folder)
    assert {path: group for path, group in stated.items() if path not in archive.odd} == archive.videos
    together = Counter(stated.values())
    assert all(together[stated[path]] == 1 for path in archive.odd)
    assert not videos.copies


@pytest.mark.parametrize("recipe", ARCHIVES)
def test_no_group_is_on_both_sides(recipe, folder_of):
    for share in (0.1, 0.5):
        videos = found(recipe, folder_of(recipe), override={"data": {"split": {"heldout": share}}})
        sides = {group: {videos.sides[id] for id in ids} for group, ids in videos.members.items()}
        assert set(map(len, sides.values())) == {1}
        assert {side for found in sides.values() for side in found} == {TRAIN, HELDOUT}


@pytest.mark.parametrize("recipe", ARCHIVES)
def test_two_machines_have_the_same_list(recipe, folder_of, tmp_path):
    files = list(ARCHIVES[recipe]().files())
    one = found(recipe, folder_of(recipe))
    other = found(recipe, unpack(reversed(files), tmp_path / "other machine" / "[copy] of it"))
    assert listed_hash(one) == listed_hash(other)
    assert (one.groups, one.sides) == (other.groups, other.sides)


FOLDS = [(name, fold) for name in recipes.names() for fold in recipes.read(name).folds]


@pytest.mark.parametrize(("recipe", "fold"), FOLDS)
def test_a_published_fold_is_held_out_whole(recipe, fold, folder_of):
    archive = ARCHIVES[recipe]()
    videos = found(recipe, folder_of(recipe), fold=fold)
    published = set(recipes.read(recipe).folds[fold])
    assert {videos.groups[id] for id, side in videos.sides.items() if side == HELDOUT} == published
    assert {videos.groups[id] for id, side in videos.sides.items() if side == TRAIN} == (
        set(archive.videos.values()) - published
    )


def test_the_folds_of_cholect45_are_of_45_operations_of_cholec80():
    frames, video = recipes.read("cholect45"), recipes.read("cholect45_25fps")
    listed = [operation for fold in frames.folds.values() for operation in fold]
    assert len(listed) == len(set(listed)) == 45
    same = {fold: tuple(name.replace("VID", "video") for name in names) for fold, names in frames.folds.items()}
    assert video.folds == same
    assert sorted(video.videos) == sorted(f"videos/{name}.mp4" for names in same.values() for name in names)
    assert (frames.rate.frames, video.rate.frames) == (1.0, 25.0)


def test_an_operation_that_is_missing_is_named(tmp_path):
    files = [file for file in ARCHIVES["cholect45_25fps"]().files() if not file.endswith("video52.mp4")]
    with pytest.raises(ValueError, match=r"video52\.mp4 matches nothing"):
        found("cholect45_25fps", unpack(files, tmp_path / "archive"))


def test_sun_as_others_unpack_it(tmp_path):
    files = ["SUN-Positive/case1/a.jpg", "SUN-Negative/case1/a.jpg", "SUN-Positive/case10/a.jpg"]
    folder = unpack(files, tmp_path / "archive")
    assert len(set(groups(found("sun", folder), folder).values())) == 3


def test_renamed_pieces_are_named_as_what_no_group_is_found_for(tmp_path):
    folder = unpack([f"{number:05}.mp4" for number in range(1, 5)], tmp_path / "archive")
    videos = found("endora_pieces", folder)
    assert len(set(videos.groups.values())) == 4
    assert any("each of these is a group of its own" in note for note in videos.notes)


LISTED = [
    ListedVideo("a", "p", TRAIN, (16, 8)),
    ListedVideo("b", "p", TRAIN, (24,)),
    ListedVideo("c", "q", HELDOUT, ()),
]


def test_the_hash_of_clips_knows_no_order():
    assert clips_hash(LISTED) == clips_hash(reversed(LISTED))
    assert len(clips_hash([])) == 64


@pytest.mark.parametrize(
    "other",
    [
        LISTED[:2],
        [*LISTED[:2], ListedVideo("d", "q", HELDOUT, ())],
        [*LISTED[:2], ListedVideo("c", "p", HELDOUT, ())],
        [*LISTED[:2], ListedVideo("c", "q", TRAIN, ())],
        [ListedVideo("a", "p", TRAIN, (8, 16)), *LISTED[1:]],
        [ListedVideo("a", "p", TRAIN, (24,)), *LISTED[1:]],
        [ListedVideo("a", "p", TRAIN, (16,)), ListedVideo("b", "p", TRAIN, (8, 24)), LISTED[2]],
    ],
)
def test_the_hash_of_clips_follows_what_decides_them(other):
    assert clips_hash(other) != clips_hash(LISTED)
