#!/usr/bin/env python3
"""Search for the settings of a config that give the best results.

python projects/FastTune/tune.py --config-file configs/SynthReID/quickstart_R18.yml \
    --space projects/FastTune/spaces/quickstart.yml --trials 20 OUTPUT_DIR logs/tune
"""

from __future__ import annotations

import argparse
import sys

from fasttune import FatalError, Plan, load_space, open_study, train_trial, work, write_results
from fasttune.plan import DIRECTIONS
from fasttune.results import summary
from fasttune.samplers import PRUNERS, SAMPLERS
from fasttune.train import default_metric
from fasttune.trials import recover
from fasttune.workers import run_processes, stop_on_signals

from fastreid.engine import load_config
from fastreid.utils.custom_imports import import_custom_modules
from fastreid.utils.logger import setup_logger


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description="Search for the settings of a config that give the best results.",
        epilog="Settings of the config come last, as pairs: SOLVER.MAX_EPOCH 30 OUTPUT_DIR logs/tune",
    )
    parser.add_argument("--config-file", default="", metavar="FILE", help="what is tuned; a file or a shipped recipe")
    parser.add_argument("--space", required=True, metavar="FILE", help="YAML: which keys, which values")
    parser.add_argument("--study", default="study", metavar="NAME", help="a study of that name is continued")
    parser.add_argument(
        "--storage", default="", metavar="WHERE", help="sqlite:///FILE, another URL of Optuna, or a journal file"
    )
    parser.add_argument("--trials", type=int, default=20, help="of the whole study, in all processes together")
    parser.add_argument("--processes", type=int, default=1, help="that work on it here; each takes its own GPU in turn")
    parser.add_argument("--metric", default="", help="result of the evaluation; by default the trainer's own, `metric`")
    parser.add_argument("--direction", default="maximize", choices=DIRECTIONS)
    parser.add_argument("--sampler", default="tpe", choices=SAMPLERS)
    parser.add_argument("--pruner", default="median", choices=PRUNERS)
    parser.add_argument("--pruner-startup", type=int, default=5, help="finished trials that `median` waits for")
    parser.add_argument("--seed", type=int, help="of the sampler; by default SEED of the config, or 0")
    parser.add_argument("--baseline", action="store_true", help="the first trial takes the config's own values")
    parser.add_argument("--max-failures", type=int, default=5, help="so many on end stop a process")
    parser.add_argument(
        "--recover-all", action="store_true", help="nobody else works on it: repeat what other machines left running"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, default=[], help="KEY VALUE pairs that override the config")
    return parser


def make_plan(args: argparse.Namespace) -> Plan:
    """Build the plan of a command line."""
    cfg = load_config(args)
    import_custom_modules(cfg.CUSTOM_IMPORTS)
    names = (
        "study",
        "storage",
        "trials",
        "direction",
        "sampler",
        "pruner",
        "pruner_startup",
        "baseline",
        "max_failures",
    )
    return Plan(
        cfg=cfg,
        space=load_space(args.space, cfg),
        metric=args.metric or default_metric(cfg),
        seed=max(cfg.SEED, 0) if args.seed is None else args.seed,
        config_file=args.config_file,
        opts=tuple(args.opts),
        **{name: getattr(args, name) for name in names},
    )


def main() -> None:
    """Run the trials, print what came of them; exit with 1 after an error, with 130 after an interrupt."""
    args = parser().parse_args()
    if args.processes < 1:
        sys.exit(f"--processes must be at least 1, got {args.processes}")
    try:
        plan = make_plan(args)
        setup_logger(str(plan.folder / "tune.log"), name="fasttune")
        with stop_on_signals():
            if args.processes == 1:
                failed, study = 0, work(plan, train_trial, recover_all=args.recover_all)
            else:
                study = open_study(plan)  # what is wrong shows here, once
                recover(study, everything=args.recover_all)
                failed = run_processes(args.processes, make_plan, args, train_trial)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on.")
        sys.exit(130)
    except (FatalError, FileNotFoundError, KeyError, ValueError) as error:
        sys.exit(str(error.args[0]) if isinstance(error, KeyError) else str(error))
    write_results(plan, study)
    print(f"\n{summary(plan, study)}\n\n{plan.folder} has trials.csv, best.yaml and a folder for each trial")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
