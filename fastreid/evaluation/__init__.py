"""From embeddings to numbers: pure metric functions, and the evaluators that gather features and call them."""

from __future__ import annotations

from .build import EVALUATOR_REGISTRY, build_evaluator
from .clas_evaluator import ClasEvaluator, accuracy
from .compare import compare_queries
from .evaluator import DatasetEvaluator, inference_context, inference_on_dataset
from .features import FeatureSet
from .loo_retrieval import leave_one_out_retrieval
from .postprocess import POSTPROCESS_REGISTRY
from .protocol import PROTOCOL_REGISTRY
from .query_expansion import aqe, dba
from .random_gallery_evaluator import RandomGalleryEvaluator
from .rank import evaluate_rank, match_ranks
from .rank_blocks import rank_matches
from .rates import average_precision, cmc, inverse_negative_penalty, summarize
from .reid_evaluation import ReidEvaluator
from .rerank import re_ranking
from .retrieval_evaluator import RetrievalEvaluator
from .roc import evaluate_roc
from .scores import SCORE_REGISTRY
from .similarity import METRIC_REGISTRY
from .testing import flatten_results_dict, print_csv_format, verify_results

__all__ = [
    "EVALUATOR_REGISTRY",
    "METRIC_REGISTRY",
    "POSTPROCESS_REGISTRY",
    "SCORE_REGISTRY",
    "ClasEvaluator",
    "PROTOCOL_REGISTRY",
    "DatasetEvaluator",
    "FeatureSet",
    "RandomGalleryEvaluator",
    "ReidEvaluator",
    "RetrievalEvaluator",
    "accuracy",
    "aqe",
    "average_precision",
    "build_evaluator",
    "cmc",
    "compare_queries",
    "dba",
    "evaluate_rank",
    "evaluate_roc",
    "flatten_results_dict",
    "inference_context",
    "inference_on_dataset",
    "inverse_negative_penalty",
    "leave_one_out_retrieval",
    "match_ranks",
    "print_csv_format",
    "rank_matches",
    "re_ranking",
    "summarize",
    "verify_results",
]
