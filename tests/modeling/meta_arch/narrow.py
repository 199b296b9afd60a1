"""A ResNet of a few channels, with the parts that MGN takes apart; cheap enough to train in a test."""

from __future__ import annotations

from torch import nn

from fastreid.config import CfgNode
from fastreid.modeling.backbones.build import BACKBONE_REGISTRY, Backbone, FeatureShape
from fastreid.modeling.backbones.resnet import BasicBlock


def stage(inplanes: int, planes: int, stride: int) -> nn.Sequential:
    shortcut = nn.Sequential(nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))
    return nn.Sequential(
        BasicBlock(inplanes, planes, "BN", stride=stride, downsample=shortcut), BasicBlock(planes, planes, "BN")
    )


class NarrowNet(Backbone):
    """Four stages of 4 to 12 channels; the pooling has the name that ResNeXt gives it."""

    def __init__(self, last_stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = stage(4, 6, 1)
        self.layer2 = stage(6, 8, 2)
        self.layer3 = stage(8, 10, 2)
        self.layer4 = stage(10, 12, last_stride)
        self.last_stride = last_stride

    def output_shape(self) -> FeatureShape:
        return FeatureShape(channels=12, stride=16 * self.last_stride)

    def forward(self, x):
        x = self.maxpool1(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))


@BACKBONE_REGISTRY.register()
def build_narrow_backbone(cfg: CfgNode) -> NarrowNet:
    """Build the network of the tests from ``LAST_STRIDE``."""
    return NarrowNet(cfg.MODEL.BACKBONE.LAST_STRIDE)
