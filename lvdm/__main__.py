"""The command line: one subcommand a stage, made from the signature of the stage's ``run``."""

import argparse
import ast
import atexit
import importlib
import inspect
import json
import logging
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import yaml

from lvdm import __version__
from lvdm.config import Config, ConfigError, FrozenConfig, merge, parse, read_mapping
from lvdm.provenance import code_stamp

_logger = logging.getLogger("lvdm")

_ASK_AGAIN_SECONDS = 0.1

# In the order of the pipeline; the names of the modules in lvdm/stages, with dashes.
STAGES = (
    "make-demo-videos",
    "fetch",
    "inspect",
    "crop",
    "probe",
    "extract",
    "export-frames",
    "shard",
    "train-autoencoder",
    "encode",
    "latent-statistics",
    "train-diffusion",
    "sample",
    "preview",
    "import-clips",
    "features",
    "score",
    "memorise",
    "table",
    "cost",
    "report",
    "import-original",
    "export-original",
    "doctor",
    "tidy",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand. Returns the exit code: 0, or 1 after an error, which is logged."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = _top_parser()
    stage = parser.parse_args(arguments[:1]).stage
    if stage == "schema":
        return _schema()
    _end_on_signals()
    # Before torch starts its threads: waiting in a busy loop, they take turns on a busy machine instead of working.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Where compiled networks are kept: as a rule on a disk that all nodes of a cluster see, so that a run pays once.
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(caches / "lvdm" / "compiled"))
    run = importlib.import_module(_module(stage)).run
    options = _stage_parser(stage, run).parse_args(arguments[1:])
    try:
        _start_logging(options.log)
        keywords = {name: getattr(options, name) for name in _keywords(run)}
        config = None if "config" in keywords else _read_config(_config_class(run), options, stage)
        positional = () if config is None else (config,)
        run(*positional, **keywords)
    except (ValueError, OSError) as error:
        # The message says what was wrong and what to do; where in the code is for who asks.
        _logger.error("%s: %s", stage, error, exc_info=options.debug)
        return 1
    return 0


def _end_on_signals() -> None:
    """Let SIGTERM and SIGUSR1, a cluster's notice, end the process cleanly: temporary files go, and the code is 75.

    That is, not done, but worth trying again. A training, once begun, saves its state instead.
    """

    def end(number: int, frame: types.FrameType | None) -> None:
        raise SystemExit(os.EX_TEMPFAIL)

    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, end)
        # On its way out the interpreter lets signals kill again, and a second one would replace the exit code.
        atexit.register(signal.signal, number, signal.SIG_IGN)

    others = sys.unraisablehook

    def ask_again(lost: "sys.UnraisableHookArgs") -> None:
        """Python drops what is raised within a finaliser, of which a compiler has many: the request is made anew."""
        if lost.exc_type is not SystemExit:
            return others(lost)
        later = threading.Timer(_ASK_AGAIN_SECONDS, os.kill, (os.getpid(), signal.SIGTERM))
        later.daemon = True
        later.start()

    sys.unraisablehook = ask_again


def _top_parser() -> argparse.ArgumentParser:
    width = max(map(len, STAGES)) + 2
    lines = [f"  {stage:<{width}}{_summary(stage)}" for stage in STAGES]
    lines.append(f"  {'schema':<{width}}Print the JSON schema of the pipeline's configuration.")
    parser = argparse.ArgumentParser(
        prog="lvdm",
        description="Latent video diffusion for endoscopy, a subcommand a stage.",
        epilog="stages, in the order of the pipeline:\n"
        + "\n".join(lines)
        + "\n\nlvdm STAGE --help shows its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"lvdm {__version__}")
    parser.add_argument("stage", choices=[*STAGES, "schema"], metavar="STAGE", help="one of the stages below")
    return parser


def _stage_parser(stage: str, run: Callable) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"lvdm {stage}",
        description=inspect.getdoc(run),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    hints = get_type_hints(run)
    keywords = _keywords(run)
    if "config" not in keywords:  # a stage may read configurations itself, to say what is wrong with them
        parser.add_argument("--config", type=Path, help="YAML or JSON file; without it the defaults hold")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="change one value, e.g. training.steps=100"
        )
    parser.add_argument("--log", type=Path, help="file that the log lines are also written to")
    parser.add_argument("--debug", action="store_true", help="show where in the code an error arose")
    for name, parameter in keywords.items():
        kind, several = _value_type(hints[name])
        if kind is bool:
            parser.add_argument(f"--{name.replace('_', '-')}", action="store_true")
            continue
        required = parameter.default is inspect.Parameter.empty
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=kind,
            nargs="*" if several else None,
            required=required,
            default=None if required else parameter.default,
            metavar={Path: "PATH", int: "N"}.get(kind, "TEXT"),
        )
    return parser


def _keywords(run: Callable) -> dict[str, inspect.Parameter]:
    parameters = inspect.signature(run).parameters
    return {name: item for name, item in parameters.items() if item.kind is inspect.Parameter.KEYWORD_ONLY}


def _config_class(run: Callable) -> type[Config] | None:
    return get_type_hints(run).get("config")


def _value_type(hint: Any) -> tuple[type, bool]:
    """The type of one value, and whether several are taken: ``list[Path]`` is (Path, True)."""
    if get_origin(hint) is types.UnionType:
        (hint,) = [part for part in get_args(hint) if part is not type(None)]
    if get_origin(hint) is list:
        return get_args(hint)[0], True
    return hint, False


def _read_config(config_class: type[Config] | None, options: argparse.Namespace, stage: str) -> Config | None:
    """The stage's configuration: from a plain file, or from one that the workflow froze.

    A stage without settings (no ``config_class``) has a frozen file all the same, for its code stamp.
    """
    data = read_mapping(options.config) if options.config else {}
    if "code" in data and "config" in data:
        frozen = parse(FrozenConfig, data, source=str(options.config))
        _check_frozen(frozen, stage, options.config)
        data = frozen.config
    for change in options.set:
        key, equals, value = change.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"--set {change}: write KEY=VALUE, the key of a section before a dot: training.steps=100")
        try:
            nested: Any = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigError(f"--set {change}: the value is not valid YAML: {error}") from None
        for part in reversed(key.split(".")):
            nested = {part: nested}
        data = merge(data, nested)
    if config_class is None:
        if data:
            raise ConfigError(f"{stage} has no settings, but {', '.join(map(str, data))} is given; leave it out")
        return None
    return parse(config_class, data, source=str(options.config or "the defaults"))


def _check_frozen(frozen: FrozenConfig, stage: str, path: Path) -> None:
    """Refuse to make a file under a stamp that is not that of the code that runs."""
    if frozen.stage.partition(".")[0] != stage:
        raise ConfigError(f"{path}: is the configuration of stage {frozen.stage}, not of {stage}")
    found = code_stamp(_module(stage))
    if frozen.code not in (found, "pinned"):
        raise ConfigError(
            f"{path}: planned with lvdm code {frozen.code}, but {Path(__file__).parent} is {found} by now; "
            "start snakemake again, so that it plans with the code that is there"
        )


def _module(stage: str) -> str:
    return f"lvdm.stages.{stage.replace('-', '_')}"


def _summary(stage: str) -> str:
    """The first line of the stage's docstring, read without importing it."""
    path = Path(__file__).parent / "stages" / f"{stage.replace('-', '_')}.py"
    return (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n")[0]


def _schema() -> int:
    from lvdm.stages.pipeline import PipelineConfig

    sys.stdout.write(json.dumps(PipelineConfig.model_json_schema(), indent=2) + "\n")
    return 0


def _start_logging(path: Path | None) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler()]
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(path, encoding="utf-8"))
    logging.basicConfig(
        level=logging.INFO, handlers=handlers, format="%(asctime)s %(levelname).1s %(message)s", datefmt="%H:%M:%S"
    )


if __name__ == "__main__":
    sys.exit(main())
