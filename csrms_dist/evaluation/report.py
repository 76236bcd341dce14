"""The closing account of a run: short, and true also when the method did not help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from csrms_dist.basics.words import counted
from csrms_dist.encoders.settings import NONE
from csrms_dist.metrics.chance import LEVEL

SAME_TRAINING = (
    "with a frozen encoder and no adapter it is the same training as the plain head, "
    "so that comparing them says nothing"
)
"""The reason why a control is not run (Recipe.control_is_plain_head)."""

COARSE = 0.25
"""Blank images that a leak of more than this share of the labels need not show in cannot tell."""


@dataclass(frozen=True)
class LookAlike:
    """Two classes that share patterns. lift, images: of LOOKS_LIKE (`hierarchy.look_alikes`).

    patterns: the patterns that hold most of both, as (pattern, images of a, images of b).
    """

    a: str
    b: str
    lift: float
    images: int
    patterns: Sequence[tuple[int, int, int]]


def percent(value: float) -> str:
    """.9743 -> '97.43 %'."""
    return f"{100 * value:.2f} %"


def difference_line(difference: Mapping[str, float]) -> str:
    """The paired difference in points, with its interval, and whether it is within noise."""
    value, low, high = (100 * difference[key] for key in ("value", "low", "high"))
    sign = "better" if value > 0 else "worse"
    verdict = "within noise" if low <= 0 <= high else f"{sign} on these images, with this one seed"
    return f"{value:+.2f} points, 95 % interval [{low:+.2f}, {high:+.2f}]: {verdict}"


def accuracy_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Test accuracy, or with several labels mAP, P@5 and R@5, of control and method at equal passes."""
    test, passes, dataset = metrics["test"], metrics["passes"], metrics["dataset"]
    what = f"{metrics['reading']} reading" if "reading" in metrics else f"method {metrics['method']}"
    of = f"{what}, seed {metrics['seed']}"
    if metrics["frozen_encoder"]:
        of += (
            ", frozen encoder" if metrics["adapter"] == NONE else f", frozen encoder with adapter {metrics['adapter']}"
        )
    measured = "Accuracy" if not dataset["multi_label"] else "mAP, P@1, P@5, R@5"
    lines = [f"{measured} on {counted(dataset['test'], 'test image')} ({of})"]
    if "control" in metrics:
        name = f"{metrics['control'].get('name', 'plain')} control"
        if metrics["control"].get("same_as_plain_head"):
            lines.append(f"  {name:<26}not run: {SAME_TRAINING}")
        else:
            lines.append(f"  {name:<26}{_score(metrics['control']['test'])}   {_passes(passes['control'])}")
    lines.append(f"  method, plain head        {_score(test['plain'])}   {_passes(passes['method'])}")
    for head, figures in test.items():
        if head != "plain":
            name = "mean of the two" if head == "mean" and len(test) == 3 else f"{head} head"
            lines.append(f"  {f'method, {name}':<26}{_score(figures)}")
    lines += _further_lines(metrics)
    lines += [
        f"  constant                  the {head} head answers nearly the same for every image: "
        "it has learnt next to nothing"
        for head in metrics["constant_heads"]
        if head != "mean"
    ]
    if dataset["rejected"]:
        lines.append(
            f"  set aside                 {counted(dataset['rejected'], 'unreadable image')} (images/rejected.parquet)"
        )
    if dataset["test_only_classes"]:
        names = ", ".join(dataset["test_only_classes"][:5])
        lines.append(f"  counted as wrong          images of classes that are only in the test set: {names}")
    if "difference" in metrics:
        lines.append(f"  plain head minus control  {difference_line(metrics['difference'])}")
    for head, difference in metrics.get("against_plain_head", {}).items():
        lines.append(f"  {f'{head} minus plain head':<26}{difference_line(difference)}")
    if "leak_check" in metrics:
        lines.append(f"  leak check                {leak_line(metrics['leak_check'], what)}")
    return lines


def _further_lines(metrics: Mapping[str, Any]) -> list[str]:
    """Top-5 accuracy where there are more classes than five, and the worst classes, of control and plain head."""
    found, lines = metrics["more"]["test"], []
    name = f"{metrics.get('control', {}).get('name', 'plain')} control"
    named = {name: found["control"]} if "control" in found else {}
    named |= {"plain head": found["plain"]}
    worst = "worst class" if metrics["dataset"]["classes"] <= 10 else "worst tenth of classes"
    for what, metric, of in (
        ("top 5", "top_5", ""),
        (worst, "worst_classes", ""),
        (worst, "worst_classes_mAP", "mAP "),
    ):
        if found["plain"].get(metric) is not None:
            figures = ", ".join(f"{whose} {of}{percent(values[metric])}" for whose, values in named.items())
            lines.append(f"  {what:<26}{figures}")
    return lines


def _score(figures: float | Mapping[str, float]) -> str:
    if isinstance(figures, Mapping):
        return "  ".join(percent(figures[name]) for name in ("mAP", "P@1", "P@5", "R@5"))
    return percent(figures)


def leak_line(leak: Mapping[str, Any], what: str) -> str:
    """Whether the graph head answers blank images better than by chance, how sure that is, or that nobody can tell.

    what: the reading, or the method, in words.
    """
    if not leak["images"]:
        return "not measured: there are no validation images (data.val_fraction is 0)"
    images, chance, several = f"{leak['images']:,} blank images", leak["chance"], "blank_image_mAP" in leak
    score = leak["blank_image_mAP" if several else "blank_image_accuracy"]
    right = f"mAP {percent(score)} on {images}" if several else f"{percent(score)} of {images}"
    if leak["one_answer"]:
        return f"{right} by the graph head, one answer for all: nothing leaks through its graph ({what})"
    line = f"{right} by the graph head, by chance {percent(chance)}: "
    if leak["p_value"] <= LEVEL:
        luck = f"luck does that at most once in {int(1 / max(leak['p_value'], 1e-4)):,} checks"
        told = percent(leak["told"])
        return f"{line}its graph gives the label away ({what}), as if it told {told} of the labels; {luck}"
    if leak["shows_from"] is None:
        return f"{line}cannot tell, for so few images, or so few classes among them, show no leak at all"
    smallest = percent(leak["shows_from"])
    if leak["shows_from"] > COARSE:
        return f"{line}cannot tell, for so few images show a leak only from {smallest} of the labels on"
    return f"{line}no leak to be seen ({what}); one of {smallest} of the labels would be"


def _passes(passes: Mapping[str, int]) -> str:
    total = passes["backward"] + passes["forward"] / 3
    return f"{total:,.0f} encoder passes"


def method_of(found: Mapping[str, Any]) -> str:
    """How patterns were found, of the facts of the stage cluster: the vigilance, and where it comes from.

    k-means, which has no vigilance, notes -1, below every cosine. grain: [patterns, lowest, highest vigilance].
    sought: patterns that a vigilance was searched for. cut: k-means made their number, as no vigilance did.
    looked_for: the fewest patterns of a grain that was looked for.
    """
    vigilance, grain = found["vigilance"], found.get("grain")
    how = f"ART at vigilance {vigilance:.3f}" if vigilance >= 0 else "k-means"
    if grain:
        patterns, low, high = grain
        return f"{how} (the data's own grain: {counted(patterns, 'pattern')} from vigilance {low:.2f} to {high:.2f})"
    if not found.get("sought"):
        return how
    if found.get("cut"):
        return f"{how}, cut by k-means, as no vigilance gives about {counted(found['sought'], 'pattern')}"
    why, fewest = "", found.get("looked_for", 0)
    if fewest:
        why = ", as the data has no grain of " + (f"{fewest} patterns or more" if fewest > 1 else "its own")
    return f"{how} (searched for about {counted(found['sought'], 'pattern')}{why})"


def pattern_lines(metrics: Mapping[str, Any], look_alikes: Sequence[LookAlike]) -> list[str]:
    """Patterns found, and which classes look alike and why."""
    hierarchy = metrics["hierarchy"]
    lines = [
        f"Patterns: {metrics['patterns']} found by {method_of(metrics)}, "
        f"{hierarchy['dominated_patterns']} dominated by one class, {hierarchy['mixed_patterns']} mixed; "
        f"{counted(hierarchy['outliers'], 'outlier')}"
    ]
    lines += [
        f"  made anew from the features after {counted(anew['epoch'], 'epoch')}: {anew['patterns']} patterns, "
        f"{anew['kept_patterns']} of them as before, {percent(anew['moved_images'])} of the images in another"
        + (f"; ask with --param run={anew['run']}" if "run" in anew else "")
        for anew in metrics.get("refreshed", ())
    ]
    if not look_alikes:
        return [*lines, "  no two classes share a pattern"]
    if any(pair.lift > 1 for pair in look_alikes):
        lines.append(
            "Class pairs that look most alike, surest first: how often they meet in a pattern, where 1 x is by chance"
        )
    else:
        lines.append(
            "No classes meet in patterns more often than by chance, which is 1 x; those that come nearest, surest first"
        )
    for pair in look_alikes:
        shared = ", ".join(f"pattern {p} ({m} of {pair.a}, {n} of {pair.b})" for p, m, n in pair.patterns)
        lines.append(f"  {pair.a} ~ {pair.b}   {pair.lift:.2f} x, {counted(pair.images, 'image')} of each   {shared}")
    return lines
