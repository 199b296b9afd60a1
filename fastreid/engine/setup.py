"""The command line of a training script, and what happens before anything is built."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from typing import Any

import torch

from ..config import CfgNode, get_cfg, get_config_file
from ..utils import comm
from ..utils.checkpoint import write_atomically
from ..utils.collect_env import collect_env_info
from ..utils.custom_imports import import_custom_modules
from ..utils.env import seed_all_rng
from ..utils.logger import setup_logger
from .launch import DEFAULT_TIMEOUT
from .side_information import take_cameras_of_checkpoint

__all__ = [
    "default_argument_parser",
    "default_setup",
    "load_config",
    "make_output_folder",
    "save_config",
    "split_settings",
]

logger = logging.getLogger(__name__)


def default_argument_parser() -> argparse.ArgumentParser:
    """Return the parser that every training script shares."""
    parser = argparse.ArgumentParser(
        description="Train or evaluate a re-identification model.",
        epilog="Settings of the config come last, as pairs: SOLVER.BASE_LR 1e-4 OUTPUT_DIR logs/try",
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="a config file, or the name of a shipped one")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in OUTPUT_DIR")
    parser.add_argument("--eval-only", action="store_true", help="evaluate MODEL.WEIGHTS, train nothing")
    parser.add_argument(
        "--num-gpus", type=int, default=1, help="processes on this machine; without CUDA they share its cores"
    )
    parser.add_argument("--num-machines", type=int, default=1, help="machines of the run")
    parser.add_argument("--machine-rank", type=int, default=0, help="number of this machine, from 0")
    parser.add_argument("--dist-url", default="auto", help="tcp://host:port of machine 0; auto on a single machine")
    parser.add_argument(
        "--dist-timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="how long a process waits for a message of another one (default: %(default).0f)",
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    return parser


def load_config(args: argparse.Namespace) -> CfgNode:
    """Return the defaults, overlaid by ``args.config_file`` and then by ``args.opts``."""
    cfg = get_cfg()
    if args.config_file:
        cfg.merge_from_file(get_config_file(args.config_file))
    cfg.merge_from_list(args.opts)
    return cfg


def split_settings(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split what an option with several values has taken into its own, and settings of the config that follow them.

    Args:
        words: of the command line, such as ``a.jpg b.jpg MODEL.WEIGHTS model.pth``.

    Returns:
        The words before the first one that begins with a key of the config and is no file, and the others.
    """
    keys = get_cfg()
    settings = (at for at, word in enumerate(words) if word.split(".")[0] in keys and not os.path.exists(word))
    first = next(settings, len(words))
    return list(words[:first]), list(words[first:])


def default_setup(cfg: CfgNode, args: Any) -> None:
    """Prepare a process: output folder, logging, the user's own code, seeds; write down what is about to run.

    Args:
        cfg: the config of the run; for ``eval_only`` its side information gets the cameras of the checkpoint, where it
            names none.
        args: the parsed command line; only logged, but for ``eval_only`` and ``config_file``.
    """
    rank = comm.get_rank()
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        make_output_folder(cfg.OUTPUT_DIR)
    comm.synchronize()
    setup_logger(cfg.OUTPUT_DIR or None, distributed_rank=rank)
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    if getattr(args, "eval_only", False):
        take_cameras_of_checkpoint(cfg)

    logger.info("Rank of current process: %d. World size: %d", rank, comm.get_world_size())
    logger.info("Environment info:\n%s", collect_env_info())
    logger.info("Command line arguments: %s", args)
    config_file = getattr(args, "config_file", "")
    if config_file:
        with open(get_config_file(config_file), encoding="utf-8") as file:
            logger.info("Contents of args.config_file=%s:\n%s", config_file, file.read())
    logger.info("Running with full config:\n%s", cfg)
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        logger.info("Full config saved to %s", save_config(cfg))

    seed_all_rng(cfg.SEED + rank if cfg.SEED >= 0 else None)
    if not getattr(args, "eval_only", False):
        torch.backends.cudnn.benchmark = cfg.CUDNN_BENCHMARK


def save_config(cfg: CfgNode) -> str:
    """Write ``config.yaml`` into ``OUTPUT_DIR`` and return its absolute path."""
    path = os.path.join(cfg.OUTPUT_DIR, "config.yaml")
    write_atomically(path, lambda file: file.write(cfg.dump().encode()))
    return os.path.abspath(path)


def make_output_folder(folder: str, *, called: str = "OUTPUT_DIR") -> None:
    """Make a folder that is to be written into, if it is not there.

    Args:
        folder: its path.
        called: the setting or option that names it, for errors.

    Raises:
        OSError: if it cannot be made or written into.
    """
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise OSError(f"{called} {folder!r} cannot be made: {error}; choose another one") from error
    if not os.access(folder, os.W_OK):
        raise OSError(f"{called} {folder!r} cannot be written to; check its rights, or choose another one")
