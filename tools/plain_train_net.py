#!/usr/bin/env python3
"""The job of train_net.py as one loop to read and to change: no trainer, no hooks.

It trains, evaluates and saves what a config describes, with the same batches, losses, schedule and numbers in full
precision. What it leaves out: mixed precision, compiling, freezing, averages of the weights, losses that are no
numbers, the best model, checkpoints and evaluations by iterations, resuming inside an epoch, stopping by a signal.
"""

from __future__ import annotations

import argparse
import os
import time

from torch import nn

from fastreid.config import CfgNode
from fastreid.data import build_reid_test_loader, build_reid_train_loader
from fastreid.data.datasets import dataset_labels
from fastreid.engine import default_argument_parser, default_setup, launch, load_config
from fastreid.engine.parallel import data_parallel, share_buffers
from fastreid.engine.setup import save_config
from fastreid.engine.side_information import camera_fit, with_cameras_of
from fastreid.evaluation import build_evaluator, flatten_results_dict, inference_on_dataset, print_csv_format
from fastreid.modeling import build_model
from fastreid.solver import build_lr_scheduler, build_optimizer
from fastreid.utils import comm
from fastreid.utils.checkpoint import Checkpointer
from fastreid.utils.events import CommonMetricPrinter, EventStorage, EventWriter, JSONWriter


def do_test(cfg: CfgNode, model: nn.Module) -> dict[str, dict[str, float]]:
    """Evaluate on every test set; the results are on rank 0."""
    share_buffers(model)
    results = {}
    for name, label in dataset_labels(cfg.DATASETS.TESTS).items():
        loader, num_query = build_reid_test_loader(cfg, dataset_name=name)
        found = inference_on_dataset(model, loader, build_evaluator(cfg, num_query), flip_test=cfg.TEST.FLIP.ENABLED)
        if comm.is_main_process():
            results[label] = found
    if results:
        print_csv_format(results)
    return results


def do_train(cfg: CfgNode, *, resume: bool) -> dict[str, dict[str, float]]:
    """Train to the end, saving and evaluating on the way."""
    if cfg.SOLVER.ACCUM_STEPS != 1:
        raise ValueError("this plain loop accumulates no gradients: set SOLVER.ACCUM_STEPS 1, or use train_net.py")
    loader = build_reid_train_loader(cfg)
    cfg.MODEL.HEADS.NUM_CLASSES = cfg.MODEL.HEADS.NUM_CLASSES or loader.dataset.num_classes
    cfg = with_cameras_of(cfg, loader.dataset)
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        save_config(cfg)  # with the classes and cameras, for evaluations
    model = build_model(cfg).train()
    optimizer, _ = build_optimizer(cfg, model)
    batch_size = cfg.SOLVER.IMS_PER_BATCH
    iters_per_epoch = len(loader.dataset) // batch_size
    schedule = build_lr_scheduler(cfg, optimizer, iters_per_epoch)
    states = {"optimizer": optimizer, **schedule, **getattr(model, "checkpointables", dict)()}
    writes = {"save_to_disk": comm.is_main_process(), "strict": cfg.MODEL.WEIGHTS_STRICT}
    checkpointer = Checkpointer(model, cfg.OUTPUT_DIR, **writes, **states)
    weights = {"path": cfg.MODEL.WEIGHTS, "weights_key": cfg.MODEL.WEIGHTS_KEY, "adapt": camera_fit(cfg)}
    start_epoch = checkpointer.resume_or_load(**weights, resume=resume).get("epoch", -1) + 1
    loader.batch_sampler.sampler.start = start_epoch * iters_per_epoch * batch_size
    model = data_parallel(model)

    results: dict[str, dict[str, float]] = {}
    batches = iter(loader)
    start_iter, max_iter = start_epoch * iters_per_epoch, cfg.SOLVER.MAX_EPOCH * iters_per_epoch
    writers = build_writers(cfg, max_iter) if comm.is_main_process() else []
    with EventStorage(start_iter) as storage:
        for storage.iter in range(start_iter, max_iter):
            start = time.perf_counter()
            storage.epoch = epoch = storage.iter // iters_per_epoch
            losses = model(next(batches))
            total = sum(losses.values())
            optimizer.zero_grad()
            total.backward()
            optimizer.step()

            storage.put_scalars(total_loss=total.detach(), **{name: value.detach() for name, value in losses.items()})
            storage.put_scalar("lr", optimizer.param_groups[0]["lr"], smoothing_hint=False)
            storage.put_scalar("time", time.perf_counter() - start)
            if storage.iter < cfg.SOLVER.WARMUP_ITERS:
                schedule["warmup_sched"].step()

            epoch_ends = (storage.iter + 1) % iters_per_epoch == 0
            if epoch_ends:
                schedule["lr_sched"].step()
                last = epoch + 1 == cfg.SOLVER.MAX_EPOCH
                if last or (cfg.TEST.EVAL_PERIOD and (epoch + 1) % cfg.TEST.EVAL_PERIOD == 0):
                    results = do_test(cfg, model)
                    found = next(iter(results.values())) if len(results) == 1 else results
                    storage.put_scalars(**flatten_results_dict(found), smoothing_hint=False)
                if last or (epoch + 1) % cfg.SOLVER.CHECKPOINT_PERIOD == 0:
                    checkpointer.save("model_final" if last else f"model_{epoch:04d}", epoch=epoch)
            if epoch_ends or (storage.iter + 1) % cfg.LOG_PERIOD == 0:
                for writer in writers:
                    writer.write()
    return results


def build_writers(cfg: CfgNode, max_iter: int) -> list[EventWriter]:
    """Return the log line and, where there is a folder for it, metrics.json."""
    writers: list[EventWriter] = [CommonMetricPrinter(max_iter)]
    return [*writers, JSONWriter(os.path.join(cfg.OUTPUT_DIR, "metrics.json"))] if cfg.OUTPUT_DIR else writers


def main(args: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Do the job in one process."""
    cfg = load_config(args)
    default_setup(cfg, args)
    if not args.eval_only:
        return do_train(cfg, resume=args.resume)
    cfg.MODEL.BACKBONE.PRETRAIN = False  # the weights come from MODEL.WEIGHTS
    model = build_model(cfg)
    checkpointer = Checkpointer(model, strict=cfg.MODEL.WEIGHTS_STRICT)
    checkpointer.load(cfg.MODEL.WEIGHTS, weights_key=cfg.MODEL.WEIGHTS_KEY)
    return do_test(cfg, model)


if __name__ == "__main__":
    args = default_argument_parser().parse_args()
    print("Command Line Args:", args)
    where = {"num_machines": args.num_machines, "machine_rank": args.machine_rank, "dist_url": args.dist_url}
    where["timeout"] = args.dist_timeout
    launch(main, args.num_gpus, args=(args,), device=load_config(args).MODEL.DEVICE, **where)
