from __future__ import annotations

import pytest

from fastreid.config import get_cfg
from fastreid.evaluation import EVALUATOR_REGISTRY, DatasetEvaluator, build_evaluator


@pytest.mark.parametrize("name", sorted(EVALUATOR_REGISTRY))
def test_every_evaluator_is_built_as_the_registry_says(name):
    cfg = get_cfg()
    cfg.TEST.EVALUATOR = name
    if name == "RetrievalEvaluator":  # has a protocol of its own
        cfg.TEST.PROTOCOL = "leave_one_out"
    evaluator = build_evaluator(cfg, 3, "out")
    assert isinstance(evaluator, DatasetEvaluator)
    assert type(evaluator) is EVALUATOR_REGISTRY.get(name)


def test_an_unknown_name_is_answered_with_the_nearest():
    cfg = get_cfg()
    assert cfg.TEST.EVALUATOR == "ReidEvaluator"
    cfg.TEST.EVALUATOR = "ReIdEvaluator"
    with pytest.raises(KeyError, match="Did you mean 'ReidEvaluator'"):
        build_evaluator(cfg, 3)
