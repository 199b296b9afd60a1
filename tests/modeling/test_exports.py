from __future__ import annotations

import importlib

import pytest

MODULES = {
    "fastreid.modeling": (
        "build_model META_ARCH_REGISTRY BACKBONE_REGISTRY build_backbone build_resnet_backbone REID_HEADS_REGISTRY "
        "build_heads EmbeddingHead losses"
    ),
    "fastreid.modeling.backbones": "BACKBONE_REGISTRY build_backbone build_resnet_backbone",
    "fastreid.modeling.backbones.build": "BACKBONE_REGISTRY build_backbone",
    "fastreid.modeling.backbones.resnet": "Bottleneck",
    "fastreid.modeling.heads": "REID_HEADS_REGISTRY build_heads EmbeddingHead ClasHead",
    "fastreid.modeling.heads.build": "REID_HEADS_REGISTRY build_heads",
    "fastreid.modeling.losses": (
        "pairwise_circleloss pairwise_cosface cross_entropy_loss log_accuracy focal_loss triplet_loss"
    ),
    "fastreid.modeling.losses.circle_loss": "pairwise_circleloss pairwise_cosface",
    "fastreid.modeling.losses.cross_entroy_loss": "cross_entropy_loss log_accuracy",
    "fastreid.modeling.losses.utils": "concat_all_gather normalize euclidean_dist cosine_dist",
    "fastreid.modeling.meta_arch": "build_model META_ARCH_REGISTRY Baseline MGN",
    "fastreid.modeling.meta_arch.build": "build_model META_ARCH_REGISTRY",
    "fastreid.modeling.meta_arch.baseline": "Baseline",
}


@pytest.mark.parametrize("module", MODULES)
def test_callers_find_what_they_import(module):
    found = importlib.import_module(module)
    missing = [name for name in MODULES[module].split() if not hasattr(found, name)]
    assert not missing
    assert all(hasattr(found, name) for name in found.__all__)
