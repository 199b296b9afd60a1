"""A backbone of two attention layers, small enough for a test: the contract of `AttentionBackbone`."""

from __future__ import annotations

import torch
from torch import nn

from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY, Backbone, FeatureShape

PATCH, WIDTH, HEADS = 4, 8, 2


class AttendingNet(Backbone):
    """Patches of 4 x 4 and a class token through two layers; returns the tokens of the image as a map."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.token = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.layers = nn.ModuleList(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(2))

    def output_shape(self) -> FeatureShape:
        return FeatureShape(channels=WIDTH, stride=PATCH)

    def forward(self, images):
        tokens, _, grid = self._run(images)
        return tokens[:, 1:].transpose(1, 2).reshape(len(images), WIDTH, *grid)

    def attention_maps(self, images):
        return self._run(images)[1:]

    def _run(self, images):
        patches = self.patches(images)  # (N, WIDTH, h, w)
        tokens = patches.flatten(2).transpose(1, 2)  # (N, h w, WIDTH)
        tokens = torch.cat([self.token.expand(len(images), -1, -1), tokens], dim=1)
        attentions = []
        for layer in self.layers:
            added, attention = layer(tokens, tokens, tokens, average_attn_weights=False)
            tokens = tokens + added
            attentions.append(attention)
        return tokens, attentions, tuple(patches.shape[2:])


@BACKBONE_REGISTRY.register()
def build_attending_backbone(cfg: CfgNode) -> AttendingNet:
    """Build the network of the tests."""
    return AttendingNet()
