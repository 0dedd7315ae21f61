"""A plan whose steps are short calls, and one that takes none."""

import pytest

from helpers.short_calls import Counted, compiled, samples
from pybackprop.core import short_calls


@pytest.fixture
def short_plan():
    """A plan whose next steps are short calls; `plan.usual` counts those that are not."""
    plan = compiled()
    plan.step(*samples())
    plan.usual = Counted(plan)
    return plan


@pytest.fixture
def longer(monkeypatch):
    """Makes a plan that takes no short calls."""

    def make(*args, **options):
        with monkeypatch.context() as patch:
            patch.setattr(short_calls, "on", False)
            plan = compiled(*args, **options)
            n, (m, h) = plan.batch, (plan.layout.inputs, plan.layout.outputs)
            plan.grads(*samples(n, m, h, plan.dtype))
        assert plan._short_step is None
        return plan

    return make
