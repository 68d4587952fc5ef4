"""The estimate of tokens against what real tokenizers count.

`data/token_counts.json` has a page in each of 25 scripts and kinds of text, with its tokens by cl100k and
o200k (gpt-tokenizer 4.0.0 from npm), Llama 3 (llama3-tokenizer-js 1.2.0) and the first Mistral
(mistral-tokenizer-js 1.0.0).
"""

import json
from math import prod
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.pipeline.tokens import TokenCounter, estimate_tokens

PAGES = json.loads((Path(__file__).parent / "data/token_counts.json").read_text())
CURRENT = ("cl100k", "o200k", "llama3")


@pytest.mark.parametrize("page", PAGES)
def test_the_estimate_is_near_what_tokenizers_count_on_average(page: str) -> None:
    counted = [PAGES[page]["tokens"][name] for name in CURRENT]
    mean = prod(counted) ** (1 / len(counted))
    assert 0.7 < estimate_tokens(PAGES[page]["text"]) / mean < 1.2


@pytest.mark.parametrize(
    "page", ["english", "german", "french", "python", "javascript", "json", "digits", "table"]
)
def test_common_text_is_estimated_within_a_fifth_of_every_current_tokenizer(page: str) -> None:
    for name in CURRENT:
        assert 0.8 < estimate_tokens(PAGES[page]["text"]) / PAGES[page]["tokens"][name] <= 1.2


@pytest.mark.parametrize("page", PAGES)
def test_no_tokenizer_counts_more_than_the_correction_allows(page: str) -> None:
    estimate = estimate_tokens(PAGES[page]["text"])
    assert max(PAGES[page]["tokens"].values()) < 3 * estimate
    assert min(PAGES[page]["tokens"].values()) > 0.35 * estimate


@given(st.text(st.characters(max_codepoint=127), min_size=64, max_size=200))
def test_the_faster_count_of_long_text_has_the_same_result(text: str) -> None:
    counter = TokenCounter()
    for character in text:
        counter.feed(character)
    assert counter.tokens == estimate_tokens(text)
