"""Typed, frozen, strict configuration: the base class, loading, dumping and fingerprints.

Every configuration class of the package derives from :class:`Config`. A value of a wrong type or an
unknown key is an error that names the key; nothing is silently converted or ignored. The classes live
in the ``config.py`` of their layer, free of torch, so that a workflow engine can validate a
configuration without paying for the imports of the networks it describes.
"""

import difflib
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, TypeVar, Union, get_args, get_origin
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ConfigT = TypeVar("ConfigT", bound="Config")

_PACKAGE = Path(__file__).parent

# YAML 1.1 reads 1e-4 (no dot) as a string; a researcher means a number.
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")

# YAML 1.1 reads these words as truth values unless they are quoted (https://yaml.org/type/bool.html); where a key has
# such a word among its values, the researcher means the word.
_WORDS = {True: ("on", "yes", "true"), False: ("off", "no", "false")}


class ConfigError(ValueError):
    """A configuration that cannot be used; the message names each key and the remedy."""


class Config(BaseModel):
    """Base of all configuration classes: immutable, no unknown keys, no silent conversion."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def complete(cls, data: Any) -> Any:
        """``data`` with what follows from it, before it is validated. Raises :class:`ConfigError`."""
        return data

    def to_json(self) -> str:
        """The complete configuration (defaults included) as canonical JSON: sorted keys, one line."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)

    def fingerprint(self) -> str:
        """16 hexadecimal digits that change when any value changes."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def replace(self, **changes: Any) -> Self:
        """A validated copy with some top-level fields changed."""
        return parse(type(self), {**self.model_dump(mode="json"), **changes}, source="replace()")


class ComputeConfig(Config):
    """Where and how the networks run."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA where there is one.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 autocast on CUDA, float32 on the CPU."
    )
    compile: Literal["auto", "off"] = Field(
        "auto", description="auto: torch.compile on CUDA, where it works; the first job of a kind takes minutes for it."
    )
    threads: int = Field(
        2, ge=1, description="CPU threads of torch. Fixed, because sums in another order differ in the last bit."
    )
    workers: int = Field(0, ge=0, description="Processes that load training data; 0: the training process.")


class NetworkFile(Config):
    """A file with a trained network of somebody else: where it is, and how it is known to be the right one.

    Of ``sha256``, ``git_blob`` and ``size`` each that is given must hold, and at least one is needed
    before anything is loaded: without one, fetching or reading the file is an error that says what they are.
    """

    url: str | None = Field(None, pattern="^https?://[^/ ]+/", description="Where stage fetch gets it.")
    path: Path | None = Field(None, description="A file that is here already, in place of `url`; works offline.")
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$", description="SHA-256 of its bytes.")
    git_blob: str | None = Field(None, pattern="^[0-9a-f]{40}$", description="Its id as `git hash-object` prints it.")
    size: int | None = Field(None, ge=1, description="Bytes.")
    licence: str = Field("", description="Under which terms it may be used; a note for people.")

    @model_validator(mode="after")
    def _one_place(self):
        if (self.url is None) == (self.path is None):
            raise ValueError("a network's file has either a `url`, to be fetched, or a `path`")
        return self

    @property
    def verifiable(self) -> bool:
        """Whether anything is stated that the file can be checked against."""
        return any(value is not None for value in (self.sha256, self.git_blob, self.size))

    @property
    def name(self) -> str:
        """Its file name in a cache: that of the URL, and a mark of the content, as other content is another file."""
        place = self.path.name if self.path else unquote(urlsplit(self.url).path)
        place = Path(re.sub(r"[^\w.-]", "_", place.rpartition("/")[2]).lstrip(".") or "network")
        unmarked = hashlib.sha256(f"{self.url} {self.path} {self.size}".encode()).hexdigest()
        mark = self.sha256 or self.git_blob or unmarked
        return f"{place.stem}-{mark[:12]}{place.suffix}"


class FrozenConfig(Config):
    """A file that the workflow froze: the configuration of a stage, and the stamp of the code it was planned with."""

    stage: str
    code: str
    config: dict[str, Any]


def parse(cls: type[ConfigT], data: Any, source: str) -> ConfigT:
    """Validate ``data`` (nested dictionaries, as from YAML or JSON) as ``cls``.

    ``source`` (a file name, say) opens the error message. Raises :class:`ConfigError`.
    """
    try:
        data = cls.complete(data)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    try:
        # Through JSON, where lists stand for tuples and strings for paths also in strict mode.
        return cls.model_validate_json(json.dumps(_plain(_words(data, cls))))
    except ValidationError as error:
        raise ConfigError(_explain(error, cls, data, source)) from None
    except TypeError as error:
        raise ConfigError(f"{source}: {error}; use plain numbers, strings, lists and mappings") from None
    except RecursionError:
        raise ConfigError(f"{source}: lists in lists beyond all measure; use plain values") from None


def load(cls: type[ConfigT], path: str | Path) -> ConfigT:
    """Read and validate a YAML or JSON file. Raises :class:`ConfigError` that names the file."""
    return parse(cls, read_mapping(path), source=str(path))


def shipped(kind: str) -> Path:
    """The folder of the files of ``config/KIND`` that come with the package: in it, or beside it in a checkout."""
    installed = _PACKAGE / "shipped" / kind  # setup.py puts it there
    return installed if installed.is_dir() else _PACKAGE.parent / "config" / kind


def read_mapping(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML or JSON file. Raises :class:`ConfigError` when there is none."""
    try:
        data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: of UTF-8, of a date that is none
        raise ConfigError(f"{path}: not valid YAML or JSON: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: holds {type(data).__name__}, but a mapping of keys to values is needed")
    return data


def merge(base: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """``base`` with ``override`` laid over it, mapping by mapping; lists, scalars and other kinds are replaced."""
    if "kind" in override and override["kind"] != base.get("kind"):
        return dict(override)  # keys of one kind mean nothing to another
    merged = dict(base)
    for key, value in override.items():
        both = isinstance(merged.get(key), dict) and isinstance(value, dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def _words(value: Any, kind: Any, place: str = "") -> Any:
    """``value`` with the words that ``kind``, a type or the annotation of a field, has in place of truth values."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _words(value, arguments[0], place)
    if origin in (Union, UnionType):
        # One that takes the value as it is goes before one that has a word for it.
        for member in () if bool in arguments and isinstance(value, bool) else arguments:
            value = _words(value, member, place)
    elif origin is Literal and isinstance(value, bool) and value not in arguments:
        return next((word for word in arguments if str(word).lower() in _WORDS[value]), value)
    elif isinstance(value, Mapping):
        if truths := [key for key in value if isinstance(key, bool)]:
            wrong = f"a key is {truths[0]}, as YAML reads on, off, yes and no; write it in quotes"
            raise TypeError(f"{place or '(top level)'}: {wrong}")
        return {key: _words(item, _kind_at(key, kind), f"{place}.{key}".lstrip(".")) for key, item in value.items()}
    elif origin in (list, tuple) and isinstance(value, list | tuple):
        kinds = arguments if len(arguments) == len(value) and Ellipsis not in arguments else arguments[:1] * len(value)
        return [_words(item, each, place) for item, each in zip(value, kinds, strict=True)]
    return value


def _kind_at(key: Any, kind: Any) -> Any:
    """The annotation of what a mapping that stands for ``kind`` has at ``key``; None where nothing is known of it."""
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, BaseModel) else {}
    return fields[key].annotation if key in fields else None


def _plain(value: Any, place: str = "(top level)", above: frozenset[int] = frozenset()) -> Any:
    """``value`` as JSON holds it. Raises ``TypeError`` that names the key of what it cannot hold."""
    if isinstance(value, dict | list | tuple):
        if id(value) in above:  # an anchor of YAML in its own value
            raise TypeError(f"{place}: the value holds itself")
        above |= {id(value)}
    if isinstance(value, dict):
        return {key: _plain(item, str(key), above) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, place, above) for item in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and _EXPONENT.fullmatch(value):
        return float(value)
    if value is None or isinstance(value, str | int | float):
        return value
    raise TypeError(f"{place}: {value!r:.100} is a {type(value).__name__}")


def _explain(error: ValidationError, cls: type[BaseModel], data: Any, source: str) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(_keys(problem["loc"], data)) or "(top level)"
        if problem["type"] == "extra_forbidden":
            name = str(problem["loc"][-1])
            close = difflib.get_close_matches(name, sorted(_field_names(cls) - {name}), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else "; remove it"
            lines.append(f"  {key}: unknown key{hint}")
        elif problem["type"] == "missing":
            lines.append(f"  {key}: required, but not given")
        else:
            # The message of a validator of ours opens with "Value error, ".
            message = problem["msg"].removeprefix("Value error, ")
            lines.append(f"  {key}: {message} (got {problem['input']!r:.100})")
    return f"{source}: the configuration is not valid\n" + "\n".join(lines)


def _keys(location: tuple[int | str, ...], data: Any) -> Iterator[str]:
    """The keys of a location in ``data``, without the kinds that pydantic names where there are several."""
    for number, part in enumerate(location):
        if isinstance(data, dict) and part not in data and number < len(location) - 1:
            continue
        yield str(part)
        data = data.get(part) if isinstance(data, dict) else None


def _field_names(cls: type[BaseModel]) -> set[str]:
    """The names of all fields in ``cls`` and in the configuration classes nested in it."""
    names: set[str] = set()
    schema = cls.model_json_schema()
    for part in [schema, *schema.get("$defs", {}).values()]:
        names.update(part.get("properties", {}))
    return names
