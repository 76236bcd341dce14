"""Algorithms by name: ours and a user's own."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from csrms_dist.art import Clustering, cluster
from csrms_dist.art.algorithm import Algorithm, algorithm_of
from csrms_dist.art.settings import ADAPTATIONS, ALGORITHMS, ClusterSettings
from csrms_dist.basics.lookup import resolve
from csrms_dist.errors import ConfigError


@pytest.mark.parametrize("name", ALGORITHMS)
def test_each_name_stands_for_an_algorithm(name):
    assert isinstance(algorithm_of(name), Algorithm)
    assert ClusterSettings(algorithm=name).algorithm == name


def test_each_adaptation_stands_for_its_rules():
    assert sorted(resolve(place) for place in ADAPTATIONS.values()) == [1, 2, 3]


@pytest.mark.parametrize("vigilance", [0.6, "auto"])
def test_a_user_s_own_algorithm_clusters_and_is_loaded_again(vigilance, tmp_path, monkeypatch):
    (tmp_path / "own_algorithm.py").write_text(
        "from csrms_dist.art.spherical.learner import Spherical\n\n\nclass Mine(Spherical):\n    recentre = 1\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    X = np.random.default_rng(0).normal(size=(200, 6))
    np.save("vectors.npy", X)

    def run(**choices):
        chosen = ClusterSettings(vigilance=vigilance, **choices)
        return cluster(tmp_path / "vectors.npy", [str(k) for k in range(200)], chosen, 5, tmp_path / "work")

    mine, same = run(algorithm="own_algorithm:Mine"), run(algorithm="spherical", recentre=1)
    assert (mine.pattern == same.pattern).all()
    mine.save("kept")
    assert (Clustering.load("kept").predict(X)[0] == mine.pattern).all()


def test_a_name_that_is_none_of_them_is_refused():
    with pytest.raises(ConfigError, match="one of 'spherical', 'fuzzy', 'kmeans' or module:name of your own"):
        ClusterSettings(algorithm="fuzy")
    with pytest.raises(ConfigError, match="k-means has no vigilance"):
        ClusterSettings(algorithm="kmeans", vigilance=0.5)
