"""What the relay says of starts, and when it gives up; no Ray is needed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from csrms_dist.errors import DataError
from ray_jobs.on_ray import resizing
from ray_jobs.on_ray.relay import MAX_STARTS, Relay, Wish
from ray_jobs.on_ray.resizing import RESIZING, callbacks


def test_starts_without_a_checkpoint_are_counted_and_a_checkpoint_forgives_them() -> None:
    relay = Relay("train")
    for _ in range(2):
        assert all(relay.starting() for _ in range(MAX_STARTS))
        relay.put([{"loss": 1.0}])
    assert all(relay.starting() for _ in range(MAX_STARTS))
    relay.died("RuntimeError: out of luck")
    assert not relay.starting()
    error = relay.get().error
    assert error is not None
    assert error.exit_code == 6
    assert str(error) == (
        "training (train): got 3 starts without a checkpoint between them, the last for 'RuntimeError: out of luck'; "
        "run the same command again: it resumes; train.checkpoint_minutes writes more of them"
    )


def test_an_error_of_ours_is_not_tried_again() -> None:
    relay = Relay("train")
    assert relay.starting()
    relay.fail(DataError("row 1"))
    assert not relay.starting()
    assert str(relay.get().error) == "row 1"


def test_a_second_start_says_where_it_goes_on() -> None:
    relay = Relay("train")
    assert not relay.get().starts > 0
    relay.starting()
    relay.goes_on(4, 0, 0)
    assert relay.get().warnings == []
    relay.starting()
    relay.goes_on(1, 3, 7)
    relay.starting()
    relay.goes_on(2, 4, 0)
    assert relay.get().warnings == [
        "train: started again, with 1 worker, after epoch 3 and 7 batches of the next",
        "train: started again, with 2 workers, after epoch 4",
    ]


def test_of_a_stall_one_worker_is_heard_and_what_follows_says_less() -> None:
    relay = Relay("train")
    relay.starting()
    relay.stalled("training (train): worker 1 of 3 ...: got no answer for 45 s")
    relay.stalled("training (train): worker 1 of 3 ...: got no answer for 46 s")
    relay.died("RuntimeError: Connection closed by peer")
    assert len(relay.get().warnings) == 1
    for _ in range(MAX_STARTS):
        relay.starting()
    assert "the last for 'training (train): worker 1 of 3 ...: got no answer for 45 s'" in str(relay.get().error)


def test_a_wish_is_granted_by_a_checkpoint() -> None:
    relay = Relay("train")
    relay.want()
    assert relay.wanted()
    relay.put([])
    assert not relay.wanted()


def test_a_wish_is_asked_for_without_waiting() -> None:
    asked: list[Any] = []
    done: list[Any] = []
    ray = SimpleNamespace(
        wait=lambda some, timeout: (done, some), get=lambda some: True,
        exceptions=SimpleNamespace(RayActorError=ZeroDivisionError),
    )  # fmt: skip
    relay = SimpleNamespace(wanted=SimpleNamespace(remote=lambda: asked.append(len(asked)) or object()))
    wish = Wish(ray, relay)
    assert not wish()  # the first question
    assert not wish()  # no answer yet: no further question
    assert len(asked) == 1
    done.append(True)
    assert wish()
    assert len(asked) == 2


def test_rays_hook_before_a_change_of_the_number_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not of Ray's public interface: without it more is done again, and nothing else would say so."""
    from ray.train.v2._internal.execution.controller import state

    held: list[Any] = []
    monkeypatch.setattr(resizing, "hold", held.append)
    [hook] = callbacks("the relay")
    hook.after_controller_state_update(None, state.RunningState())
    assert held == []
    hook.after_controller_state_update(None, state.ResizingState(scaling_decision=None))
    assert held == ["the relay"]
    assert state.ResizingState.__name__ == RESIZING
