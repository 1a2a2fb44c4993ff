from __future__ import annotations

import inspect
from typing import ClassVar

import pytest

from tastebench.recommenders import RECOMMENDERS, get_recommender
from tastebench.testing import RecommenderTests


class TestRandom(RecommenderTests):
    card = get_recommender("random")


class TestPopularity(RecommenderTests):
    card = get_recommender("popularity")


class TestItemKNN(RecommenderTests):
    card = get_recommender("item-knn")
    config: ClassVar = {"neighbours": 4}


class TestEASE(RecommenderTests):
    card = get_recommender("ease")
    config: ClassVar = {"l2": 1.0}


class TestDot(RecommenderTests):
    card = get_recommender("dot")


class TestBM25(RecommenderTests):
    card = get_recommender("bm25")


class TestOracle(RecommenderTests):
    card = get_recommender("oracle")


class TestUniSRec(RecommenderTests):
    card = get_recommender("unisrec")
    config: ClassVar = {"epochs": 1}


class TestSASRec(RecommenderTests):
    card = get_recommender("sasrec")
    config: ClassVar = {"epochs": 1}


class TestSASRecText(RecommenderTests):
    card = get_recommender("sasrec-text")
    config: ClassVar = {"epochs": 1}


class TestAlphaRec(RecommenderTests):
    card = get_recommender("alpharec")
    config: ClassVar = {"epochs": 1}


class TestAlphaRecOriginal(RecommenderTests):
    card = get_recommender("alpharec-original")
    config: ClassVar = {"epochs": 1, "expansion": 1}


class TestVectorKnn(RecommenderTests):
    card = get_recommender("vector-knn")


class TestLogistic(RecommenderTests):
    card = get_recommender("logistic")


NARROW = {"epochs": 1, "hidden_size": 16, "batch_size": 8}
TOWER = {"operator": "dnn", "tower": [8, 8]}


class TestDnn(RecommenderTests):
    card = get_recommender("dnn")
    config: ClassVar = {**NARROW, "predictor": TOWER}


@pytest.mark.parametrize("name", RECOMMENDERS.names())
def test_every_recommender_inherits_the_conformance_tests(name: str) -> None:
    tested = {
        thing.card.name
        for thing in globals().values()
        if inspect.isclass(thing) and issubclass(thing, RecommenderTests) and "card" in vars(thing)
    }
    assert name in tested
