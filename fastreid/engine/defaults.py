"""``DefaultTrainer``: a config in, a trained and evaluated model out; and the old address of its companions."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from ..config import CfgNode
from ..data import build_reid_test_loader, build_reid_train_loader
from ..data.datasets import dataset_labels
from ..evaluation import (
    DatasetEvaluator,
    build_evaluator,
    inference_on_dataset,
    print_csv_format,
    verify_results,
)
from ..modeling import build_model
from ..solver import build_lr_scheduler, build_optimizer
from ..utils import comm
from ..utils.checkpoint import Checkpointer
from ..utils.custom_imports import import_custom_modules
from ..utils.env import set_random_state
from ..utils.events import CommonMetricPrinter, CSVWriter, EventWriter, JSONWriter, TensorboardXWriter
from ..utils.logger import setup_logger
from ..utils.weights import unwrap_model
from . import hooks
from .amp import resolve_amp_dtype
from .amp_trainer import AMPTrainer
from .averaging import build_averages, check_average_of_metric, evaluate_beside
from .checkpoint_state import checkpoint_meta
from .compile import compile_parts, uncompiled
from .default_hooks import default_hooks
from .evaluation_results import EvaluationResults, judged_by, thresholds_of, write_queries, write_results
from .inference import inference_model
from .loop import HookBase, TrainerBase
from .parallel import data_parallel, share_buffers
from .predictor import DefaultPredictor
from .resume import check_all_find, continue_from_v1, restore_run, run_state
from .setup import default_argument_parser, default_setup, save_config
from .side_information import camera_fit, with_cameras_of
from .simple_trainer import SimpleTrainer

__all__ = [
    "DefaultPredictor",
    "DefaultTrainer",
    "TrainerBase",
    "default_argument_parser",
    "default_setup",
]

logger = logging.getLogger(__name__)


class DefaultTrainer(TrainerBase):
    """Train and evaluate what a config describes.

    Every part is built by a method of its own, to be overridden in a subclass: :meth:`build_model`,
    :meth:`build_optimizer`, :meth:`build_lr_scheduler`, :meth:`build_train_loader`, :meth:`build_test_loader`,
    :meth:`build_evaluator`, :meth:`build_hooks`, :meth:`build_writers`.

    Args:
        cfg: the config; with ``MODEL.HEADS.NUM_CLASSES`` 0 the number of classes is the training set's.

    Attributes:
        scheduler: dict of schedules, see ``build_lr_scheduler``.
        checkpointer: saves and loads into ``OUTPUT_DIR``.
        averages: of the weights, by name: ``ema`` and ``swa``, as far as ``SOLVER`` has them on.
        metric_name: the result that decides which model is the best, ``TEST.BEST_METRIC``.

    Example:
        >>> trainer = DefaultTrainer(cfg)  # doctest: +SKIP
        >>> trainer.resume_or_load(resume=False)  # doctest: +SKIP
        >>> results = trainer.train()  # doctest: +SKIP
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        if not logging.getLogger(__name__.removesuffix(".engine.defaults")).handlers:
            setup_logger(distributed_rank=comm.get_rank())
        import_custom_modules(cfg.CUSTOM_IMPORTS)
        loader = self.build_train_loader(cfg)
        cfg = self.auto_scale_hyperparams(cfg, loader.dataset.num_classes)
        completed = with_cameras_of(cfg, loader.dataset)
        if completed is not cfg:
            _write_down(completed)
        cfg = completed
        model = self.build_model(cfg)
        optimizer, param_wrapper = self.build_optimizer(cfg, model)
        self._trainer = _build_inner_trainer(cfg, model, loader, optimizer, param_wrapper)
        self._trainer.last_checkpoint = self._last_checkpoint
        self._saved_iter: int | None = None  # of the last checkpoint of the run

        self.cfg = cfg
        self.iters_per_epoch = len(loader.dataset) // cfg.SOLVER.IMS_PER_BATCH
        self.start_epoch = 0
        self.max_epoch = cfg.SOLVER.MAX_EPOCH
        self.max_iter = self.max_epoch * self.iters_per_epoch
        self.warmup_iters = cfg.SOLVER.WARMUP_ITERS
        self.delay_epochs = cfg.SOLVER.DELAY_EPOCHS
        self.scheduler = self.build_lr_scheduler(cfg, optimizer, self.iters_per_epoch)
        self.averages = build_averages(cfg, model)
        # a model may have more that a run goes on with than its weights
        states = {"optimizer": optimizer, **self.scheduler, **getattr(model, "checkpointables", dict)()}
        states |= self.averages
        if self.grad_scaler is not None and self.grad_scaler.is_enabled():
            states["grad_scaler"] = self.grad_scaler
        self.checkpointer = Checkpointer(
            model,
            cfg.OUTPUT_DIR,
            save_to_disk=comm.is_main_process(),
            strict=cfg.MODEL.WEIGHTS_STRICT,
            **states,
        )
        labels = list(dataset_labels(cfg.DATASETS.TESTS).values())
        self.metric_name = best_metric_name(cfg.TEST.BEST_METRIC, labels)
        check_average_of_metric(self.metric_name, self.averages)
        self._meta = checkpoint_meta(cfg, unwrap_model(model), getattr(loader.dataset, "img_items", []))
        self._random_state: dict[str, Any] | None = None
        self._last_eval_results: dict[str, Any] = {}
        self._thresholds: tuple[int, dict[str, Any]] = (-1, {})  # and the iteration of their evaluation
        self.register_hooks(self.build_hooks())
        if cfg.MODEL.COMPILE:
            compile_parts(unwrap_model(self.model))

    # -- what the loop works on ------------------------------------------------------------------

    @property
    def model(self) -> nn.Module:
        """The model, in its data-parallel wrapper if there are several processes."""
        return self._trainer.model

    @property
    def data_loader(self) -> DataLoader:
        """The loader of the training set."""
        return self._trainer.data_loader

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The optimizer."""
        return self._trainer.optimizer

    @property
    def grad_scaler(self) -> torch.amp.GradScaler | None:
        """The gradient scaler, ``None`` in full precision."""
        return getattr(self._trainer, "grad_scaler", None)

    def run_step(self) -> None:
        """Train on one batch."""
        self._trainer.iter = self.iter
        self._trainer.run_step()

    def after_epoch(self) -> None:
        """Check that the loss is finite before the hooks evaluate and save the model, then call them."""
        self._trainer.check_finite()
        super().after_epoch()

    def train(self) -> dict[str, Any]:
        """Train to the end.

        Returns:
            The results of the last evaluation on rank 0, ``{}`` elsewhere.

        Raises:
            KeyError, ValueError, RuntimeError: before the first iteration, if the test sets could not be evaluated.
        """
        self._check_evaluation()
        super().train(self.start_epoch, self.max_epoch, self.iters_per_epoch, start_iter=self.start_iter)
        if not comm.is_main_process():
            return {}
        if self._last_eval_results:
            verify_results(self.cfg, self._last_eval_results)
        return self._last_eval_results

    def _check_evaluation(self) -> None:
        """Build what will evaluate the model: a mistake in ``TEST`` shall not cost the epochs before it shows."""
        if not any(isinstance(hook, hooks.EvalHook) for hook in self._hooks):
            return
        amp = self.cfg.TEST.AMP
        resolve_amp_dtype(amp.ENABLED, amp.DTYPE, next(self.model.parameters()).device, key="TEST.AMP")
        for name in self.cfg.DATASETS.TESTS:
            with suppress(NotImplementedError):  # a test set that is left out
                self.build_evaluator(self.cfg, name)

    # -- checkpoints -------------------------------------------------------------------------------

    def resume_or_load(self, resume: bool = True) -> None:
        """Go on from the newest checkpoint of ``OUTPUT_DIR``, or start from the weights in ``MODEL.WEIGHTS``.

        A checkpoint of FastReID v1.3 gives its weights and its epoch; its optimizer state is laid out otherwise, and
        the optimizer starts anew.
        """
        self.checkpointer.remove_unfinished()
        if resume:
            check_all_find(self.checkpointer.get_checkpoint_file())
        if not (resume and self.checkpointer.has_checkpoint()):
            if resume:
                logger.info("Nothing to resume in %s", self.cfg.OUTPUT_DIR)
            node = self.cfg.MODEL
            fit = camera_fit(self.cfg)
            self.checkpointer.load(node.WEIGHTS, checkpointables=[], weights_key=node.WEIGHTS_KEY, adapt=fit)
            return
        path = self.checkpointer.get_checkpoint_file()
        checkpoint = self.checkpointer.load(path, checkpointables=[])
        if "iteration" in checkpoint:
            self._random_state = restore_run(self, checkpoint, path)
        else:
            continue_from_v1(self, checkpoint, path)
        self.start_epoch = self.start_iter // self.iters_per_epoch
        self._saved_iter = self.start_iter - 1
        logger.info("Resuming from %s at iteration %d, epoch %d", path, self.start_iter, self.start_epoch)
        at_the_end = "iteration" in checkpoint and self.start_iter == self.max_iter
        if at_the_end and os.path.basename(path) != "model_final.pth":
            # killed between its last two checkpoints, model_best and model_final, which are the same then
            self.checkpointer.copy(path, "model_final")

    def checkpoint_state(self, metric: float | None = None) -> dict[str, Any]:
        """Return what a checkpoint holds beside the model and the stateful objects; every rank must call it.

        Args:
            metric: of the evaluation after this epoch; ``None``: there was none.

        Raises:
            FloatingPointError: if the loss or the weights are not finite: nobody shall go on from there.
        """
        self._trainer.check_finite()
        self._trainer.check_weights()
        evaluated, thresholds = self._thresholds
        meta = {**self._meta, "thresholds": thresholds if evaluated == self.iter else {}}  # those of other weights: no
        state = {**run_state(self, metric), "meta": meta}
        self._saved_iter = self.iter
        return state

    def _last_checkpoint(self) -> str:
        """Return the path and the iteration of the last checkpoint of this run, ``""`` if there is none."""
        path = self.checkpointer.get_checkpoint_file() if self.cfg.OUTPUT_DIR and self._saved_iter is not None else ""
        return path and f"{path} (iteration {self._saved_iter})"

    @property
    def skipped_steps(self) -> int:
        """The iterations of the run that were left out so far, see ``SOLVER.SKIP_NONFINITE``."""
        return self._trainer.skipped_steps

    @skipped_steps.setter
    def skipped_steps(self, count: int) -> None:
        self._trainer.skipped_steps = count

    @property
    def frozen(self) -> frozenset[nn.Parameter]:
        """The parameters that stand still for the time being."""
        return self._trainer.frozen

    @frozen.setter
    def frozen(self, parameters: frozenset[nn.Parameter]) -> None:
        self._trainer.frozen = parameters

    def stateful_hooks(self) -> dict[str, Any]:
        """Return the hooks that are stored in checkpoints, by name; the second one of a class is ``Name_2``."""
        found: dict[str, Any] = {}
        seen: Counter[str] = Counter()
        for hook in self._hooks:
            if hasattr(hook, "state_dict"):
                name = type(hook).__name__
                seen[name] += 1
                found[name if seen[name] == 1 else f"{name}_{seen[name]}"] = hook
        return found

    @property
    def sampler(self) -> Any:
        """The sampler of the training set; it has ``seed`` and ``start`` if it can go to any place of its stream."""
        return getattr(self.data_loader.batch_sampler, "sampler", None)

    def before_train(self) -> None:
        """Call the hooks, then take up the random streams where the checkpoint left them."""
        super().before_train()
        self._check_order_of_hooks()
        if self._random_state is not None:
            set_random_state(self._random_state)

    def _check_order_of_hooks(self) -> None:
        """Warn of a hook whose state a checkpoint would hold as it was before the hook's own step."""
        saving = [number for number, hook in enumerate(self._hooks) if isinstance(hook, hooks.PeriodicCheckpointer)]
        for hook in self._hooks[saving[-1] + 1 :] if saving else []:
            if hasattr(hook, "state_dict"):
                logger.warning(
                    "%s has a state and is registered behind PeriodicCheckpointer, so that a checkpoint holds the "
                    "state of one step before; put it earlier, in build_hooks",
                    type(hook).__name__,
                )

    # -- the parts -----------------------------------------------------------------------------------

    def build_hooks(self) -> list[HookBase | None]:
        """Return the hooks, in their order; see ``engine/hooks/__init__.py`` for why it is this one."""
        return default_hooks(
            self, evaluate=self._evaluate, meta=self._meta, newest_results=lambda: self._last_eval_results
        )

    def _evaluate(self) -> dict[str, Any]:
        """Evaluate the model and its averages, and keep the thresholds that were found."""

        def test(cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
            found = self.test(cfg, model)
            if cfg is self.cfg:  # not an average of the weights
                self._thresholds = (self.iter, thresholds_of(getattr(found, "details", {})))
            return found

        self._trainer.check_finite()  # its error says more than that of features that are no numbers
        with uncompiled(self.model):
            self._last_eval_results = evaluate_beside(test, self.cfg, self.model, self.averages)
        return self._last_eval_results

    def build_writers(self) -> list[EventWriter]:
        """Return the writers: log line, ``metrics.json``, ``metrics.csv``, and TensorBoard where it is installed."""
        folder = self.cfg.OUTPUT_DIR
        writers: list[EventWriter] = [CommonMetricPrinter(self.max_iter)]
        if folder:
            writers.append(JSONWriter(os.path.join(folder, "metrics.json")))
            writers.append(CSVWriter(os.path.join(folder, "metrics.csv")))
            if importlib.util.find_spec("tensorboard") is not None:
                writers.append(TensorboardXWriter(folder))
        return writers

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the model on its device."""
        model = build_model(cfg)
        logger.info("Model:\n%s", model)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> tuple[torch.optim.Optimizer, Any]:
        """Return ``(optimizer, None)``."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer, iters_per_epoch: int) -> dict[str, Any]:
        """Return the schedules."""
        return build_lr_scheduler(cfg, optimizer, iters_per_epoch)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> DataLoader:
        """Return the endless loader of the training set."""
        return build_reid_train_loader(cfg)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> tuple[DataLoader, int]:
        """Return the loader of a test set (queries, then gallery) and the number of queries."""
        return build_reid_test_loader(cfg, dataset_name=dataset_name)

    @classmethod
    def build_evaluator(
        cls, cfg: CfgNode, dataset_name: str, output_dir: str | None = None
    ) -> tuple[DataLoader, DatasetEvaluator]:
        """Return the loader of a test set and its evaluator; raise ``NotImplementedError`` to leave the set out."""
        loader, num_query = cls.build_test_loader(cfg, dataset_name)
        return loader, build_evaluator(cfg, num_query, output_dir)

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> dict[str, Any]:
        """Evaluate on every set of ``DATASETS.TESTS``.

        Returns:
            The results dict of the only set, or one dict per set by its label (see ``dataset_labels``), as
            ``EvaluationResults``, which has the evaluators' ``details`` too; empty on the other ranks. All of it is in
            ``results.json``, and the evaluators' ``queries`` in a file for each set.
        """
        share_buffers(model)
        model = inference_model(cfg, model)
        results: dict[str, Any] = {}
        details: dict[str, Any] = {}
        for name, label in dataset_labels(cfg.DATASETS.TESTS).items():
            try:
                loader, evaluator = cls.build_evaluator(cfg, name)
            except NotImplementedError:
                logger.warning("No evaluator for %s: build_evaluator raised NotImplementedError; left out", name)
                continue
            found = inference_on_dataset(model, loader, evaluator, flip_test=cfg.TEST.FLIP.ENABLED)
            if comm.is_main_process():
                logger.info("Evaluation results for %s in csv format:", name)
                print_csv_format({"dataset": label, **found})
                results[label] = found
                details[label] = {"judged_by": judged_by(cfg), **getattr(evaluator, "details", {})}
                if cfg.OUTPUT_DIR and getattr(evaluator, "queries", None):
                    write_queries(cfg.OUTPUT_DIR, label, evaluator.queries)
        if len(results) > 1:
            logger.info("Evaluation results for all test sets in csv format:")
            print_csv_format(results)
        if comm.is_main_process() and cfg.OUTPUT_DIR and results:
            write_results(cfg.OUTPUT_DIR, results, details)
        return EvaluationResults(next(iter(results.values())) if len(results) == 1 else results, details)

    @staticmethod
    def auto_scale_hyperparams(cfg: CfgNode, num_classes: int) -> CfgNode:
        """Fill in ``MODEL.HEADS.NUM_CLASSES`` from the training set where it is 0; ``cfg`` itself is not changed."""
        if cfg.MODEL.HEADS.NUM_CLASSES:
            return cfg
        frozen = cfg.is_frozen()
        cfg = cfg.clone()
        cfg.defrost()
        logger.info("Auto-scaling the num_classes=%d", num_classes)
        cfg.MODEL.HEADS.NUM_CLASSES = num_classes
        _write_down(cfg)
        if frozen:
            cfg.freeze()
        return cfg


def _write_down(cfg: CfgNode) -> None:
    """Write the config that the training set has completed into ``OUTPUT_DIR``."""
    if comm.is_main_process() and cfg.OUTPUT_DIR:
        os.makedirs(cfg.OUTPUT_DIR, exist_ok=True)
        save_config(cfg)


def best_metric_name(name: str, labels: Sequence[str]) -> str:
    """Return the name, in the event storage, of the result that ``TEST.BEST_METRIC`` means.

    Args:
        name: of a result; with several test sets one that does not begin with a label means that of the first set.
        labels: of the test sets.

    Raises:
        ValueError: if the name is empty.

    Example:
        >>> best_metric_name("mAP", ["Market1501"])
        'mAP'
        >>> [best_metric_name(name, ["a", "b"]) for name in ("mAP", "b/mAP", "ema/mAP")]
        ['a/mAP', 'b/mAP', 'a/ema/mAP']
    """
    if not name:
        raise ValueError("TEST.BEST_METRIC is empty; name a result, such as metric or mAP")
    named = any(name.startswith(f"{label}/") for label in labels)
    return name if len(labels) == 1 or named else f"{labels[0]}/{name}"


def _build_inner_trainer(
    cfg: CfgNode, model: nn.Module, loader: DataLoader, optimizer: torch.optim.Optimizer, param_wrapper: Any
) -> SimpleTrainer:
    device = next(model.parameters()).device
    model = data_parallel(model)
    options = {
        "accum_steps": cfg.SOLVER.ACCUM_STEPS,
        "check_period": cfg.LOG_PERIOD,
        "skip_nonfinite": cfg.SOLVER.SKIP_NONFINITE,
    }
    dtype = resolve_amp_dtype(cfg.SOLVER.AMP.ENABLED, cfg.SOLVER.AMP.DTYPE, device)
    if dtype is None:
        return SimpleTrainer(model, loader, optimizer, param_wrapper, **options)
    logger.info("Training in %s where autocast allows it, in float32 elsewhere", str(dtype).removeprefix("torch."))
    return AMPTrainer(model, loader, optimizer, param_wrapper, dtype=dtype, **options)
