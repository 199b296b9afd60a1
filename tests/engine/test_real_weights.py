"""Real weights of another library on real images: what they are known to give, plain and by the fast path of CPUs."""

from __future__ import annotations

import pytest
import torch

from fastreid.config import get_cfg, get_config_file
from fastreid.data import build_reid_test_loader
from fastreid.engine import DefaultPredictor
from fastreid.evaluation import ReidEvaluator

pytestmark = [pytest.mark.data, pytest.mark.slow]

FAST = ("MODEL.CHANNELS_LAST", True, "TEST.FOLD_BN", True, "TEST.AMP.ENABLED", True)


def embed(shared_dir, market_mini, *opts):
    """Return the embeddings ``(1994, 512)`` of all test images and the results."""
    cfg = get_cfg()
    cfg.merge_from_file(get_config_file("Market1501/osnet_x0_25_torchreid.yml"))
    weights = str(shared_dir / "weights" / "osnet_x0_25_msmt17.pth")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", weights, "DATASETS.ROOT", str(market_mini), *opts])
    predictor = DefaultPredictor(cfg)
    loader, num_query = build_reid_test_loader(cfg, dataset_name="Market1501", num_workers=0)
    evaluator = ReidEvaluator(cfg, num_query)
    embeddings = []
    for batch in loader:
        embeddings.append(predictor(batch["images"]))
        evaluator.process(batch, embeddings[-1])
    return torch.cat(embeddings), evaluator.evaluate()


def test_torchreid_osnet_gives_what_its_own_library_gives_and_the_fast_path_stays_close(shared_dir, market_mini):
    plain, results = embed(shared_dir, market_mini)
    assert plain.shape == (1994, 512)
    assert results["Rank-1"] == pytest.approx(68.4, abs=0.3)
    assert results["mAP"] == pytest.approx(42.9, abs=0.3)

    fast, fast_results = embed(shared_dir, market_mini, *FAST)
    assert torch.cosine_similarity(plain, fast).median() >= 0.999
    assert fast_results["mAP"] == pytest.approx(results["mAP"], abs=0.2)
