from __future__ import annotations

import atexit
import inspect
from dataclasses import replace
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, ClassVar

import numpy as np
import pytest
from typing_extensions import override

from tastebench.contracts import RecommenderCard
from tastebench.recommenders import RECOMMENDERS, get_recommender
from tastebench.tasks.shown import Shown, score_all
from tastebench.testing import RecommenderTests
from tastebench.testing.language_models import add_head, tiny_language_model
from tastebench.testing.tiny import tiny


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


class TestSASRecOriginal(RecommenderTests):
    card = get_recommender("sasrec-original")
    config: ClassVar = {"epochs": 1}


class TestGPT2Rec(RecommenderTests):
    card = get_recommender("gpt2rec")
    config: ClassVar = {"epochs": 1}


class TestBERT4Rec(RecommenderTests):
    card = get_recommender("bert4rec")
    config: ClassVar = {"epochs": 1}


class TestSASRecText(RecommenderTests):
    card = get_recommender("sasrec-text")
    config: ClassVar = {"epochs": 1}


class TestGraphWalk(RecommenderTests):
    card = get_recommender("graph-walk")


class TestSIDSASRec(RecommenderTests):
    card = get_recommender("sid-sasrec")
    config: ClassVar = {"epochs": 1, "hidden_size": 16}


class TestTIGER(RecommenderTests):
    card = get_recommender("tiger")
    config: ClassVar = {"epochs": 1, "hidden_size": 16, "inner_size": 32, "head_size": 4}


class TestGRU4Rec(RecommenderTests):
    card = get_recommender("gru4rec")
    config: ClassVar = {"epochs": 1, "state_size": 16}


class TestCaser(RecommenderTests):
    card = get_recommender("caser")
    config: ClassVar = {"epochs": 1}


class TestHSTU(RecommenderTests):
    card = get_recommender("hstu")
    config: ClassVar = {"epochs": 1}


class TestMamba4Rec(RecommenderTests):
    card = get_recommender("mamba4rec")
    config: ClassVar = {"epochs": 1, "state_size": 4}


class TestTrm(RecommenderTests):
    card = get_recommender("trm++")
    config: ClassVar = {"epochs": 1}


class TestWalkBlend(RecommenderTests):
    card = get_recommender("walk-blend")
    config: ClassVar = {"epochs": 1, "search": 5, "like_items": 3}


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


def click(name: str, *representations: str) -> RecommenderCard:
    """A click model over some of what it accepts: forms meet every operator elsewhere."""
    return replace(get_recommender(name), representations=representations)


def tower(name: str) -> dict[str, object]:
    return {**NARROW, "predictor": {"operator": name, "tower": [8, 8]}}


class TestDnn(RecommenderTests):
    card = get_recommender("dnn")
    config: ClassVar = tower("dnn")


class TestPnn(RecommenderTests):
    card = click("pnn", "id")
    config: ClassVar = tower("pnn")


class TestDeepfm(RecommenderTests):
    card = click("deepfm", "id")
    config: ClassVar = tower("deepfm")


class TestDcn(RecommenderTests):
    card = click("dcn", "id")
    config: ClassVar = tower("dcn")


class TestDcnv2(RecommenderTests):
    card = click("dcnv2", "id")
    config: ClassVar = tower("dcnv2")


class TestMasknet(RecommenderTests):
    card = click("masknet", "id")
    config: ClassVar = tower("masknet")


class TestFinalmlp(RecommenderTests):
    card = click("finalmlp", "id")
    config: ClassVar = tower("finalmlp")


class TestAutoint(RecommenderTests):
    card = click("autoint", "id")
    config: ClassVar = tower("autoint")


class TestGdcn(RecommenderTests):
    card = click("gdcn", "id")
    config: ClassVar = tower("gdcn")


class TestDin(RecommenderTests):
    card = click("din", "id")
    config: ClassVar = tower("din")


class TestBst(RecommenderTests):
    card = click("bst", "id")
    config: ClassVar = tower("dnn")


class TestNaml(RecommenderTests):
    card = click("naml", "text", "vector")
    config: ClassVar = NARROW


class TestNrms(RecommenderTests):
    card = click("nrms", "text", "vector")
    config: ClassVar = NARROW


class TestLstur(RecommenderTests):
    card = click("lstur", "text", "vector")
    config: ClassVar = NARROW


class TestFastformer(RecommenderTests):
    card = click("fastformer", "text", "vector")
    config: ClassVar = NARROW


class TestMiner(RecommenderTests):
    card = click("miner", "text", "vector")
    config: ClassVar = NARROW


LANGUAGE_MODEL = tiny_language_model(Path(mkdtemp()), "bert")
"""Four layers of width 32; made once, as `config` is data of the class."""
atexit.register(rmtree, LANGUAGE_MODEL, ignore_errors=True)


READER = tiny_language_model(Path(mkdtemp()), "llama", max_position_embeddings=256)
atexit.register(rmtree, READER, ignore_errors=True)


class TestPlmNr(RecommenderTests):
    card = click("plm-nr", "text")
    config: ClassVar = {
        **NARROW,
        "item": {"operator": "language-model", "model": str(LANGUAGE_MODEL), "tune_from": -1},
    }


class TestOnce(RecommenderTests):
    card = click("once", "text")
    config: ClassVar = {
        **NARROW,
        "item": {
            "operator": "language-model",
            "model": str(LANGUAGE_MODEL),
            "lora_rank": 2,
            "lora_alpha": 4,
        },
    }


class TestIisan(RecommenderTests):
    card = click("iisan", "text")
    config: ClassVar = {**NARROW, "item": {"operator": "iisan", "model": str(LANGUAGE_MODEL)}}


WRITER = add_head(
    tiny_language_model(Path(mkdtemp()), "llama", max_position_embeddings=4096), seed=1
)
atexit.register(rmtree, WRITER, ignore_errors=True)


class TestLLMRank(RecommenderTests):
    card = get_recommender("llm-rank")
    config: ClassVar = {
        "model": str(WRITER),
        "max_length": 2000,
        "list_size": 4,
        "answer_tokens": 8,
        "orders": 2,
        "partial": True,
    }

    @override
    def test_a_score_does_not_depend_on_the_chunk(self, task: Any, representation: str) -> None:
        """A list is ranked as a whole, so it is whole lists that do not depend on each other."""
        case = tiny(task)
        recommender, _ = self._fitted(case, representation)
        asked = self._asked(case)
        assert isinstance(asked, Shown)
        whole = self._answers(recommender, asked)
        lists = [asked.candidates[i : i + 1] for i in range(len(asked.candidates))]
        parts = np.concatenate([score_all(recommender, one) for one in lists])
        np.testing.assert_array_equal(parts, whole)


class TestLLMNext(RecommenderTests):
    card = replace(get_recommender("llm-next"), representations=("code", "id"))
    config: ClassVar = {"model": str(READER), "epochs": 1, "lora_rank": 2}


SPEAKER = add_head(
    tiny_language_model(Path(mkdtemp()), "llama", max_position_embeddings=512, num_hidden_layers=2)
)
"""The same with a head."""
atexit.register(rmtree, SPEAKER, ignore_errors=True)


class TestLLM(RecommenderTests):
    card = replace(get_recommender("llm"), representations=("text",))
    config: ClassVar = {"model": str(SPEAKER)}


class TestLLMTitle(RecommenderTests):
    card = get_recommender("llm-title")
    config: ClassVar = {"model": str(SPEAKER), "titles": 4, "title_tokens": 4}


class TestLLMMatching(RecommenderTests):
    card = replace(get_recommender("llm"), representations=("text",))
    config: ClassVar = {"model": str(SPEAKER), "scoring": "matching"}


class TestLLMTuned(RecommenderTests):
    card = replace(get_recommender("llm"), representations=("text", "id", "code"))
    config: ClassVar = {"model": str(SPEAKER), "tune": "lora", "epochs": 1, "lora_rank": 2}


QA = {"model": str(SPEAKER), "epochs": 1, "batch_size": 4, "warmup": 1}


class TestUserEmbedding(RecommenderTests):
    card = replace(get_recommender("user-embedding"), representations=("id", "id+side+text"))
    config: ClassVar = {**QA, "pretrain": {"epochs": 1}}


class TestTextHistory(RecommenderTests):
    card = get_recommender("text-history")
    config: ClassVar = QA


class TestMajority(RecommenderTests):
    card = get_recommender("majority")


class TestAttributeCount(RecommenderTests):
    card = get_recommender("attribute-count")


class TestReadsAll(RecommenderTests):
    card = get_recommender("reads-all")


class TestUist(RecommenderTests):
    card = get_recommender("uist")
    config: ClassVar = NARROW


class TestBricks(RecommenderTests):
    card = click("bricks", "id+text", "code")
    config: ClassVar = {**NARROW, "predictor": "dot", "negatives": 2}


@pytest.mark.parametrize("name", RECOMMENDERS.names())
def test_every_recommender_inherits_the_conformance_tests(name: str) -> None:
    tested = {
        thing.card.name
        for thing in globals().values()
        if inspect.isclass(thing) and issubclass(thing, RecommenderTests) and "card" in vars(thing)
    }
    assert name in tested
