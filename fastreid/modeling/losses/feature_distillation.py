from __future__ import annotations

from ...utils.registry import Registry

__all__ = ["FEATURE_DISTILLATION_REGISTRY"]

FEATURE_DISTILLATION_REGISTRY = Registry("FEATURE_DISTILLATION")
"""``nn.Module`` classes, built as ``Cls(student, teachers)``: what a student learns from inside its teachers.

They get the student's backbone and those of the teachers, the latter for their shapes only (they may be on the meta
device), and may have parameters, which are trained with the student's. They have

- ``features(backbone, images)``, which returns ``(maps, feature_map)``: whatever is compared, and what
  ``backbone(images)`` returns;
- ``forward(student_maps, teacher_maps, teachers)``, the latter two by teacher, which returns a dict of scalars.
"""
