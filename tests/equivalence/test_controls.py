"""Each control trains from artefacts on two real processes as it does on one; and what outlives a restart."""

from __future__ import annotations

import sys
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from csrms_dist.artefacts.run_directory import RunDirectory
from csrms_dist.basics.collective import Collective
from csrms_dist.methods.known import CONTROLS, settings_class
from csrms_dist.run_contents import RunContents
from csrms_dist.training.alone import train_alone
from csrms_dist.training.from_run import assemble
from csrms_dist.training.loop import fit
from csrms_dist.training.recipe import Recipe
from csrms_dist.training.settings import TrainSettings
from csrms_dist.training.within import LOOK_S, Looks
from tests.equivalence.parts import BATCH, N, prepare
from tests.equivalence.processes import two_processes, work

NAMES = [name for name in CONTROLS if name != "plain"]
MESSAGES = ("manifold_mixup", "batch_former", "self_distillation")
"""Those that send messages in a step: their batches of one image leave the second worker without any."""
CASES = [(name, several, BATCH) for name in NAMES for several in (False, True)]
CASES += [(name, False, 1) for name in MESSAGES]


def recipe_of(name: str, batch_size: int = BATCH) -> Recipe:
    return Recipe(control=name, train=TrainSettings(batch_size=batch_size, lr=0.02, epochs=2))


def trained(folder: Path, name: str, batch_size: int, collective: Collective, place: Path) -> dict[str, Any]:
    """Beside the method, an epoch and a part of one."""
    torch.use_deterministic_algorithms(True)
    recipe = recipe_of(name, batch_size)
    place.mkdir(parents=True, exist_ok=True)
    training = assemble("control", RunContents(RunDirectory(folder)), recipe, collective, work=place)
    n_images = 9 if batch_size == 1 else N + 100
    history = fit(training.method, training.data, training.optimiser, n_images=n_images, seed=0, collective=collective)
    weights = {key: value.clone() for key, value in training.method.module.state_dict().items()}
    bank = training.method.bank.read(range(N)) if name == "self_distillation" else None  # type: ignore[attr-defined]
    return {"history": history, "weights": weights, "bank": bank}


def everything(folder: Path, collective: Collective) -> dict[str, Any]:
    torch.set_num_threads(1)
    found = {}
    for name, several, size in CASES:
        place = folder / f"work {collective.world}" / f"{name} {several} {size}"
        found[f"{name} {several} {size}"] = trained(folder / str(several), name, size, collective, place)
        collective.barrier()
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(folder, one worker, two workers)."""
    folder, exact = tmp_path_factory.mktemp("controls"), torch.are_deterministic_algorithms_enabled()
    for several in (False, True):
        prepare(folder / str(several), several)
    with two_processes("tests.equivalence.test_controls", folder, 240) as found:
        alone = everything(folder, Collective())
        yield folder, alone, found()
    torch.use_deterministic_algorithms(exact)


@pytest.mark.parametrize(("name", "several", "size"), CASES)
def test_two_workers_train_as_one_does(runs: Any, name: str, several: bool, size: int) -> None:
    _, alone, pair = runs
    key = f"{name} {several} {size}"
    expected = alone[key]
    first, second = (two[key] for two in pair)
    for report, found in zip(expected["history"], first["history"], strict=True):
        assert found == pytest.approx(report, abs=5e-5)
        assert "encoded" not in report, "as many images pass the encoder as with the plain classifier"
    assert first["history"] == second["history"]
    for part, value in expected["weights"].items():
        assert torch.equal(first["weights"][part], second["weights"][part]), part
        torch.testing.assert_close(first["weights"][part], value, rtol=1e-3, atol=1e-4)
    if expected["bank"] is not None:
        assert torch.equal(first["bank"], second["bank"])
        torch.testing.assert_close(first["bank"], expected["bank"], rtol=1e-3, atol=1e-3)
        assert int((expected["bank"] > 0).any(dim=1).sum()) == (9 if size == 1 else N)


def test_no_control_trains_as_another_or_as_the_plain_classifier(runs: Any) -> None:
    folder, alone, _ = runs
    found = {name: alone[f"{name} False {BATCH}"]["weights"]["plain_head.weight"] for name in NAMES}
    plain = trained(folder / "False", "plain", BATCH, Collective(), folder / "plain")
    found["plain"] = plain["weights"]["plain_head.weight"]
    for name, one in found.items():
        for other, two in found.items():
            assert name == other or float((one - two).abs().max()) > 1e-5, (name, other)


@pytest.mark.parametrize("name", NAMES)
def test_by_itself_it_is_the_training_that_stands_beside_a_method(runs: Any, name: str, tmp_path: Path) -> None:
    """With the weight 1 for the cross-entropy, as in the method's defaults."""
    folder, alone, _ = runs
    recipe = Recipe(method=settings_class(name)(name=name), train=recipe_of(name).train)
    state = train_alone("train", folder / "False", recipe, n_images=N + 100, work=tmp_path)
    assert state["history"] == alone[f"{name} False {BATCH}"]["history"]


@pytest.mark.parametrize("where", ["after an epoch", "within the first", "within the second"])
@pytest.mark.parametrize("kept", ["in files", "in memory"])
def test_self_distillation_goes_on_after_a_restart_with_the_same_bytes(
    runs: Any, kept: str, where: str, tmp_path: Path
) -> None:
    folder, alone, _ = runs
    run, recipe = RunContents(RunDirectory(folder / "False")), recipe_of("self_distillation")

    def go(resume: dict[str, Any] | None) -> Any:
        place = tmp_path if kept == "in files" else None
        training = assemble("control", run, recipe, Collective(), work=place)

        def stop(state: dict[str, Any], here: bool) -> None:
            if resume is None and here:
                torch.save(state, tmp_path / "state.pt")
                raise KeyboardInterrupt

        fit(
            training.method, training.data, training.optimiser, n_images=N + 100, seed=0, resume=resume,
            on_epoch=lambda done, state: stop(state, where == "after an epoch"),
            on_part=lambda state: stop(state, where == f"within the {('first', 'second')[len(state['history'])]}"),
            looks=Looks(0.0, lambda: True, count(0, LOOK_S).__next__),
        )  # fmt: skip
        return training.method

    with pytest.raises(KeyboardInterrupt):
        go(None)
    resumed = go(torch.load(tmp_path / "state.pt", weights_only=True))
    expected = alone[f"self_distillation False {BATCH}"]
    for name, value in resumed.module.state_dict().items():
        assert torch.equal(value, expected["weights"][name]), name
    assert torch.equal(resumed.bank.read(range(N)), expected["bank"])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    work(folder, int(sys.argv[2]), int(sys.argv[3]), lambda collective: everything(folder, collective))
