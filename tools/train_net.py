#!/usr/bin/env python3
"""Train, evaluate or resume what a config describes.

python tools/train_net.py --config-file configs/Market1501/bagtricks_R50-ibn.yml
python tools/train_net.py --config-file ... --eval-only MODEL.WEIGHTS logs/.../model_best.pth
python tools/train_net.py --config-file ... --resume
"""

from __future__ import annotations

import argparse
import logging
import sys

from fastreid.config import CfgNode
from fastreid.engine import DefaultTrainer, default_argument_parser, default_setup, launch, load_config
from fastreid.engine.side_information import camera_fit
from fastreid.evaluation import verify_results
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.weights import WeightFileError, WeightsMismatch

logger = logging.getLogger("fastreid.train_net")


def setup(args: argparse.Namespace) -> CfgNode:
    """Build the config of this process and prepare it."""
    cfg = load_config(args)
    if args.eval_only:
        cfg.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    cfg.freeze()
    default_setup(cfg, args)
    return cfg


def main(args: argparse.Namespace) -> dict[str, object]:
    """Do the job in one process; return the results on rank 0."""
    cfg = setup(args)
    if args.eval_only:
        model = DefaultTrainer.build_model(cfg)
        if not cfg.MODEL.WEIGHTS:
            logger.warning("MODEL.WEIGHTS is empty: evaluating a model that was never trained")
        checkpointer = Checkpointer(model, strict=cfg.MODEL.WEIGHTS_STRICT)
        checkpointer.load(cfg.MODEL.WEIGHTS, weights_key=cfg.MODEL.WEIGHTS_KEY, adapt=camera_fit(cfg))
        results = DefaultTrainer.test(cfg, model)
        if comm.is_main_process():
            verify_results(cfg, results)
        return results
    trainer = DefaultTrainer(cfg)
    trainer.resume_or_load(resume=args.resume)
    return trainer.train()


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    print("Command Line Args:", args)
    try:
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
            device=load_config(args).MODEL.DEVICE,
            timeout=args.dist_timeout,
        )
    except KeyboardInterrupt:
        sys.exit("interrupted")
    except (WeightFileError, WeightsMismatch) as error:
        sys.exit(f"{type(error).__name__}: {error}")
