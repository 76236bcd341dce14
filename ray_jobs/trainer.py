"""Ray Train around csrms_dist.training: stage 0, the method and its control run through this one loop."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from csrms_dist.collective import Collective
from csrms_dist.config import OptimiserSettings
from csrms_dist.datasets.image_table import ImageTable
from csrms_dist.encoders import Normaliser
from csrms_dist.errors import ClusterError, CsrmsError, require
from csrms_dist.feature_table import FeatureTable
from csrms_dist.hierarchy import snapshot
from csrms_dist.inference import Classifier, ModelCard, make_model
from csrms_dist.labels import single_labels
from csrms_dist.methods.baselines import PlainMethod, PlainModel
from csrms_dist.methods.csrms import CSRMS, CSRMSModel
from csrms_dist.methods.method import Method
from csrms_dist.progress import Progress
from csrms_dist.run_directory import RunDirectory
from csrms_dist.sampling import NEGATIVE, POSITIVE, load_candidates
from csrms_dist.sampling.dgl_sampler import DglSampler
from csrms_dist.sampling.protocol import Sampler
from csrms_dist.training.loop import TrainingData, fit
from ray_jobs.session import ray_session
from ray_jobs.settings import RunSettings, settings_from
from ray_jobs.stage import StageContext, passed

STATE_FILE = "state.pt"
THREADS = 1
POLL_S = 0.3


def model_card(run: RunDirectory, settings: RunSettings, *, reading: str = "") -> ModelCard:
    """The card of a model for this run's images."""
    facts = run.facts("images")
    table = ImageTable(run.open("images") / "train.arrow")
    return ModelCard(
        encoder=settings.encoder.name,
        image_shape=table.shape,
        mean=tuple(facts["mean"]),
        std=tuple(facts["std"]),
        class_names=table.label_space.class_names,
        reading=reading,
        prototypes=settings.method.prototypes,
        n_positives=settings.sampling.n_positives,
    )


def build_plain(run: RunDirectory, settings: RunSettings, *, from_stage_0: bool) -> PlainMethod:
    """Stage 0 (fresh weights) or the control (stage 0's weights)."""
    model = make_model(model_card(run, settings), settings.seed)
    if not isinstance(model, PlainModel):
        raise TypeError("a card without a reading makes a plain model")
    if not from_stage_0:
        return PlainMethod(model, label_smoothing=settings.pretrain.label_smoothing)
    model.load_state_dict(Classifier(run.open("pretrain")).model.state_dict())
    return PlainMethod(model, weight=settings.method.weight_plain, label_smoothing=settings.train.label_smoothing)


def build_csrms(run: RunDirectory, settings: RunSettings) -> CSRMS:
    """The method, its encoder and plain head from stage 0."""
    model = make_model(model_card(run, settings, reading=settings.method.reading), settings.seed)
    if not isinstance(model, CSRMSModel):
        raise TypeError("a card with a reading makes a CSRMS model")
    model.load_state_dict(Classifier(run.open("pretrain")).model.state_dict(), strict=False)
    return CSRMS(
        model,
        snapshot.load(run.open("graph") / "snapshot"),
        torch.from_numpy(np.array(FeatureTable.load(run.open("features")).vectors)),
        settings.method,
        n_positives=settings.sampling.n_positives,
        n_negatives=settings.sampling.n_negatives,
        label_smoothing=settings.train.label_smoothing,
    )


def _build(role: str, run: RunDirectory, settings: RunSettings) -> tuple[Method, OptimiserSettings, Sampler | None]:
    """The method, its optimiser's settings and its sampler, by role."""
    if role == "pretrain":
        return build_plain(run, settings, from_stage_0=False), settings.pretrain, None
    if role == "control":
        return build_plain(run, settings, from_stage_0=True), settings.train, None
    method = build_csrms(run, settings)
    sizes = {POSITIVE: settings.sampling.n_positives, NEGATIVE: settings.sampling.n_negatives}
    used = {kind: sizes[kind] for kind in method.edge_types}
    sampler = DglSampler(load_candidates(run.open("candidates"), used), used, settings.seed) if used else None
    return method, settings.train, sampler


def training_data(run: RunDirectory) -> TrainingData:
    """The rows of the train split."""
    facts = run.facts("images")
    table = ImageTable(run.open("images") / "train.arrow")
    indices = table.indices("train")
    return TrainingData(
        table, indices, single_labels(table.membership[indices]), Normaliser(facts["mean"], facts["std"])
    )


def _worker(config: dict[str, Any]) -> None:
    """What every Ray Train worker runs."""
    import ray.train

    torch.set_num_threads(THREADS)
    # Ray may place workers on machines whose defaults differ; every choice that changes a rounding is made here.
    torch.use_deterministic_algorithms(True)
    place = ray.train.get_context()
    collective = Collective(place.get_world_rank(), place.get_world_size())
    run, settings = RunDirectory(config["uri"]), settings_from(config["settings"])
    method, optimiser, sampler = _build(config["role"], run, settings)
    checkpoint = ray.train.get_checkpoint()
    resume = None
    if checkpoint is not None:
        with checkpoint.as_directory() as folder:
            resume = torch.load(Path(folder) / STATE_FILE, weights_only=True)

    def on_epoch(done: int, state: dict[str, Any]) -> None:
        report = state["history"][-1]
        if collective.rank == 0:
            with tempfile.TemporaryDirectory() as folder:
                torch.save(state, Path(folder) / STATE_FILE)
                ray.train.report(report, checkpoint=ray.train.Checkpoint.from_directory(folder))
            config["relay"].put.remote(done, report)
        else:
            ray.train.report(report)

    fit(
        method,
        training_data(run),
        optimiser,
        n_images=config["n_images"],
        seed=settings.seed,
        collective=collective,
        sampler=sampler,
        on_epoch=on_epoch,
        resume=resume,
    )


class _Relay:
    """Carries the epochs done from a worker to the driver's progress line."""

    def __init__(self) -> None:
        self._state: tuple[int, dict[str, float]] = (0, {})

    def put(self, done: int, report: dict[str, float]) -> None:
        self._state = (done, report)

    def get(self) -> tuple[int, dict[str, float]]:
        return self._state


def train(context: StageContext, role: str, n_images: int, n_epochs: int) -> dict[str, Any]:
    """Train in Ray Train workers; returns the state of the last epoch (model, method, history).

    Checkpoints lie below the run directory until the stage is done; the same command started again goes on from the
    last. Raises ClusterError when workers die more often than they may.
    """
    settings = context.settings
    workers = settings.pretrain.workers if role == "pretrain" else settings.train.workers
    with ray_session(context.ray_slots):
        ray = require("ray")
        from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        relay = ray.remote(num_cpus=0)(_Relay).remote()
        trainer = TorchTrainer(
            _worker,
            train_loop_config={
                "uri": context.run.uri if not context.run.is_local else str(context.run.path),
                "settings": settings.as_mapping(),
                "role": role,
                "n_images": n_images,
                "relay": relay,
            },
            torch_config=TorchConfig(backend="gloo", timeout_s=120),
            scaling_config=ScalingConfig(num_workers=workers),
            run_config=RunConfig(
                name=context.inputs,
                storage_path=checkpoints_of(context),
                failure_config=FailureConfig(max_failures=2),
                checkpoint_config=CheckpointConfig(num_to_keep=2),
            ),
        )
        with Progress(role, total=n_epochs, unit="epochs") as progress:
            try:
                result = _fit(trainer, lambda: _show(ray, relay, progress, role))
            except ray.train.TrainingFailedError as error:
                raise _cause(error, role) from error
            with result.checkpoint.as_directory() as folder:
                state: dict[str, Any] = torch.load(Path(folder) / STATE_FILE, weights_only=True)
            progress.set(len(state["history"]), "  ".join(note(state["history"][-1])))
    return state


def checkpoints_of(context: StageContext) -> str:
    """Where Ray Train keeps the checkpoints of unfinished stages."""
    if context.run.is_local:
        return str(context.run.path / ".checkpoints")
    return f"{context.run.uri}/.checkpoints"


def discard_checkpoints(context: StageContext) -> None:
    """After the artefact is whole its checkpoints are of no use."""
    if context.run.is_local:
        shutil.rmtree(context.run.path / ".checkpoints" / context.inputs, ignore_errors=True)


def _cause(error: Any, role: str) -> CsrmsError:
    """Our own error, if a worker raised one, else a ClusterError around the first worker's."""
    for cause in getattr(error, "worker_failures", {}).values():
        inner: BaseException | None = cause
        while inner is not None:
            if isinstance(inner, CsrmsError):
                return inner
            inner = getattr(inner, "cause", None) or inner.__cause__
    text = " ".join(str(error).split())
    return ClusterError(f"training ({role})", got=f"'{text[-300:]}'", remedy="run the same command again: it resumes")


def _fit(trainer: Any, watch: Callable[[], None]) -> Any:
    """trainer.fit() in a thread of its own, `watch` called while it runs.

    On the main thread Ray Train would put its own handler in place of Ctrl-C's: the process would end with another exit
    code and no word, and every later stage would swallow it.
    """
    outcome: list[Any] = []

    def work() -> None:
        try:
            outcome.append((trainer.fit(), None))
        except BaseException as error:  # raised again below, on the main thread
            outcome.append((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(POLL_S)
        watch()
    result, error = outcome[0]
    if error is not None:
        raise error
    return result


def _show(ray: Any, relay: Any, progress: Progress, role: str) -> None:
    """Bring the progress line to what the relay knows."""
    done, report = ray.get(relay.get.remote())
    if done > progress.done:
        if progress.done == 0:
            # Until the first report the workers were starting: that says nothing about the rest.
            progress.resume_at(done)
        progress.set(done, "  ".join(note(report)))
        for epoch in range(1, done + 1):
            passed(f"{role}.{epoch}")


def note(report: dict[str, float]) -> list[str]:
    """The figures of an epoch that a progress line shows."""
    shown = [f"loss {report['loss']:.3f}"]
    return shown + [
        f"{head} {report[f'{head}_accuracy']:.1%}" for head in ("plain", "graph") if f"{head}_accuracy" in report
    ]
