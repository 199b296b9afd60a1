"""Evaluations for the tests of their pictures: those of the evaluators, on random features."""

from __future__ import annotations

from pathlib import Path

import torch

from fastreid.engine.evaluation_results import write_queries, write_results
from fastreid.evaluation import RandomGalleryEvaluator, ReidEvaluator, RetrievalEvaluator
from fastreid.evaluation.features import FeatureSet


def evaluate(folder: Path, *labels: str, kind: str = "ReidEvaluator", noise: float = 1.0, roc: bool = True) -> Path:
    """Write what an evaluation of 12 identities in front of 4 cameras leaves, 48 queries; return the folder."""
    generator = torch.Generator().manual_seed(0)
    pids = torch.arange(12).repeat_interleave(4)
    camids = torch.arange(4).repeat(12)
    centres = torch.randn(12, 8, generator=generator)
    sets = [FeatureSet(centres[pids] + noise * torch.randn(48, 8, generator=generator), pids, camids) for _ in range(2)]
    evaluator = {
        "ReidEvaluator": lambda: ReidEvaluator(num_query=48, roc=roc, resamples=20),
        "RandomGalleryEvaluator": lambda: RandomGalleryEvaluator(num_query=48, roc=roc, resamples=20),
        "RetrievalEvaluator": lambda: RetrievalEvaluator(resamples=20),
    }[kind]()
    results = evaluator.judge(*sets)
    judged_by = {"evaluator": kind, "metric": "cosine", "postprocess": []}
    labels = labels or ("Market1501",)
    for label in labels:
        write_queries(str(folder), label, evaluator.queries)
    details = {"judged_by": judged_by, **evaluator.details}
    write_results(str(folder), dict.fromkeys(labels, results), dict.fromkeys(labels, details))
    return folder
