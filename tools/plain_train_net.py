#!/usr/bin/env python3
"""The job of train_net.py as one loop to read and to change: no trainer, no hooks.

It trains, evaluates and saves what a config describes, with the same batches, losses, schedule and numbers in full
precision. What it leaves out: mixed precision, freezing, the best model, resuming inside an epoch.
"""

from __future__ import annotations

import argparse
import logging
import time

from torch import nn

from fastreid.config import CfgNode
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.engine import default_argument_parser, default_setup, launch, load_config
from fastreid.engine.parallel import data_parallel
from fastreid.evaluation import ReidEvaluator, inference_on_dataset, print_csv_format
from fastreid.modeling import build_model
from fastreid.solver import build_lr_scheduler, build_optimizer
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer

logger = logging.getLogger("fastreid.plain_train_net")


def do_test(cfg: CfgNode, model: nn.Module) -> dict[str, dict[str, float]]:
    """Evaluate on every test set."""
    results = {}
    for name in cfg.DATASETS.TESTS:
        loader, num_query = build_reid_test_loader(cfg, dataset_name=name)
        found = inference_on_dataset(model, loader, ReidEvaluator(cfg, num_query), flip_test=cfg.TEST.FLIP.ENABLED)
        if comm.is_main_process():
            results[name] = found
    if results:
        print_csv_format(results)
    return results


def do_train(cfg: CfgNode, *, resume: bool) -> dict[str, dict[str, float]]:
    """Train to the end, saving and evaluating on the way."""
    loader = build_reid_train_loader(cfg)
    cfg.MODEL.HEADS.NUM_CLASSES = cfg.MODEL.HEADS.NUM_CLASSES or loader.dataset.num_classes
    model = build_model(cfg).train()
    optimizer, _ = build_optimizer(cfg, model)
    batch_size = cfg.SOLVER.IMS_PER_BATCH
    iters_per_epoch = len(loader.dataset) // batch_size
    schedule = build_lr_scheduler(cfg, optimizer, iters_per_epoch)
    checkpointer = Checkpointer(
        model, cfg.OUTPUT_DIR, save_to_disk=comm.is_main_process(), optimizer=optimizer, **schedule
    )
    start_epoch = checkpointer.resume_or_load(cfg.MODEL.WEIGHTS, resume=resume).get("epoch", -1) + 1
    loader.batch_sampler.sampler.start = start_epoch * iters_per_epoch * batch_size
    model = data_parallel(model)

    results: dict[str, dict[str, float]] = {}
    batches = iter(loader)
    for epoch in range(start_epoch, cfg.SOLVER.MAX_EPOCH):
        start = time.perf_counter()
        for iteration in range(epoch * iters_per_epoch, (epoch + 1) * iters_per_epoch):
            losses = model(next(batches))
            total = sum(losses.values())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            if iteration < cfg.SOLVER.WARMUP_ITERS:
                schedule["warmup_sched"].step()
            if (iteration + 1) % cfg.LOG_PERIOD == 0 or (iteration + 1) % iters_per_epoch == 0:
                parts = "  ".join(f"{name}: {value.item():.4g}" for name, value in losses.items())
                rate = optimizer.param_groups[0]["lr"]
                logger.info("epoch/iter: %d/%d  total_loss: %.4g  %s  lr: %.2e", epoch, iteration, total, parts, rate)
        schedule["lr_sched"].step()
        logger.info("epoch %d took %.0f s", epoch, time.perf_counter() - start)

        last = epoch + 1 == cfg.SOLVER.MAX_EPOCH
        if last or (cfg.TEST.EVAL_PERIOD and (epoch + 1) % cfg.TEST.EVAL_PERIOD == 0):
            results = do_test(cfg, model)
            comm.synchronize()
        if last or (epoch + 1) % cfg.SOLVER.CHECKPOINT_PERIOD == 0:
            checkpointer.save("model_final" if last else f"model_{epoch:04d}", epoch=epoch)
    return results


def main(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Do the job in one process."""
    cfg = load_config(args)
    default_setup(cfg, args)
    if not args.eval_only:
        return do_train(cfg, resume=args.resume)
    cfg.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    model = build_model(cfg)
    Checkpointer(model, strict=cfg.MODEL.WEIGHTS_STRICT).load(cfg.MODEL.WEIGHTS)
    return do_test(cfg, model)


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    print("Command Line Args:", args)
    where = {"num_machines": args.num_machines, "machine_rank": args.machine_rank, "dist_url": args.dist_url}
    launch(main, args.num_gpus, args=(args,), device=load_config(args).MODEL.DEVICE, **where)
