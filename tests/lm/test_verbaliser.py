from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tastebench.errors import UsageError
from tastebench.lm.spelling import Spelling
from tastebench.lm.verbaliser import Verbaliser, log_probability, make_verbaliser
from tastebench.testing.language_models import tiny_language_model


@pytest.fixture(scope="module")
def spelling(tmp_path_factory: pytest.TempPathFactory) -> Spelling:
    from transformers import AutoTokenizer

    folder: Path = tiny_language_model(tmp_path_factory.mktemp("model"), "llama")
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    return Spelling(tokenizer, "it")


def test_the_score_is_the_difference_of_two_logits_and_its_sigmoid_the_probability() -> None:
    logits = torch.tensor([[0.5, 2.0, -1.0], [0.0, 3.0, 3.0]])
    scores = Verbaliser(np.array([1]), np.array([2])).of_logits(logits)
    assert scores.tolist() == [3.0, 0.0]
    # softmax over the two answers: e^2 / (e^2 + e^-1) and 1/2
    yes, no = logits[:, 1].exp(), logits[:, 2].exp()
    torch.testing.assert_close(scores.sigmoid(), yes / (yes + no))


def test_an_answer_of_several_tokens_has_the_product_of_their_probabilities() -> None:
    logits = torch.tensor([[[0.0, np.log(3.0)], [np.log(4.0), 0.0]]])
    # P(token 1) = 3/4 at the first place, P(token 0) = 4/5 at the second
    found = log_probability(logits, np.array([1, 0]))
    torch.testing.assert_close(found, torch.tensor([0.6]).log())


def test_single_tokens_score_the_same_by_logits_and_by_log_probabilities() -> None:
    logits = torch.randn(5, 7)
    verbaliser = Verbaliser(np.array([2]), np.array([4]))
    yes = log_probability(logits[:, None], verbaliser.yes)
    no = log_probability(logits[:, None], verbaliser.no)
    torch.testing.assert_close(yes - no, verbaliser.of_logits(logits))


def test_answers_are_read_with_the_blank_that_stands_before_them(spelling: Spelling) -> None:
    made = make_verbaliser(spelling, "red", "blue", lead=" ")
    assert made.single
    assert spelling.tokenizer.decode(made.yes.tolist()) == " red"
    assert spelling.tokenizer.decode(made.no.tolist()) == " blue"
    bare = make_verbaliser(spelling, "red", "blue")
    assert spelling.tokenizer.decode(bare.yes.tolist()) == "red"


def test_answers_of_several_tokens_are_whole(spelling: Spelling) -> None:
    made = make_verbaliser(spelling, "Yes", "No")
    assert not made.single
    assert (len(made.yes), len(made.no), made.longest) == (3, 2, 3)


def test_one_answer_that_begins_the_other_is_refused(spelling: Spelling) -> None:
    with pytest.raises(UsageError, match="cannot tell the answers 'red' and 'red wool' apart"):
        make_verbaliser(spelling, "red", "red wool")


def test_a_word_that_is_unknown_is_refused(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({"<unk>": 0, "a": 1, "Yes": 2}, unk_token="<unk>"))
    words.pre_tokenizer = Whitespace()
    make: Any = PreTrainedTokenizerFast
    few = Spelling(make(tokenizer_object=words, unk_token="<unk>"), "it")
    with pytest.raises(UsageError, match="the model 'it' does not know the answer 'No'"):
        make_verbaliser(few, "Yes", "No")
