"""Task scores against probabilities worked out token by token, and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.tasks import (
    EncodedTask,
    Question,
    _scores,
    encode_questions,
    read_task,
    score_task,
)
from corpusmill.mixtures.proxy.transformer import (
    Shape,
    final_states,
    head_weight,
    initial_parameters,
    logit_scale,
)
from corpusmill.pipeline.errors import RequestError

SHAPE = Shape(vocab_size=30, width=8, num_layers=1, num_heads=2, ff_width=8)
END = 0


def letters(text: str) -> list[int]:
    """a = 1, b = 2, …; space = 27."""
    return [27 if letter == " " else ord(letter) - 96 for letter in text]


QUESTIONS = [
    Question("the cat", (" sat", " on", " flew away"), 0),
    Question("", ("a", "bb"), 1),
    Question("a very long context that cannot fit", (" yes", " no"), 1),
    Question("end", (" it",), 0),
]


def test_an_answers_bits_are_those_of_its_tokens_after_the_context() -> None:
    parameters = initial_parameters(SHAPE, [3, 4], torch.float64)
    parameters["bias"] += torch.linspace(-2, 2, 30, dtype=torch.float64)
    task = encode_questions("letters", QUESTIONS, letters, 16, END)
    scores = score_task(parameters, SHAPE, task)
    assert [score.num_questions for score in scores] == [4, 4]
    assert scores[0].num_shortened == 3  # both choices of the long one; "the cat flew away" is 17 letters and the end
    for r in range(2):
        one = {name: value[r : r + 1] for name, value in parameters.items()}
        right = right_by_byte = 0
        bits_of_right, num_bytes = 0.0, 0
        for question in QUESTIONS:
            bits = []
            for choice in question.choices:
                answer = letters(choice)
                tokens = [END, *letters(question.context), *answer][-17:]
                states = final_states(one, SHAPE, torch.tensor([[tokens[:-1]]]))[0]
                logits = logit_scale(SHAPE) * states @ head_weight(one, SHAPE)[0].T + one["bias"][0]
                nats = -logits.log_softmax(-1)[torch.arange(len(tokens) - 1), tokens[1:]]
                bits.append(float(nats[-len(answer) :].sum()) / math.log(2))
            if len(bits) > 1:
                right += int(np.argmin(bits)) == question.answer
                by_byte = [b / len(choice) for b, choice in zip(bits, question.choices, strict=True)]
                right_by_byte += int(np.argmin(by_byte)) == question.answer
            bits_of_right += bits[question.answer]
            num_bytes += len(question.choices[question.answer])
        assert scores[r].accuracy == pytest.approx(right / 3)
        assert scores[r].normalised_accuracy == pytest.approx(right_by_byte / 3)
        assert scores[r].bits_per_byte == pytest.approx(bits_of_right / num_bytes, rel=1e-12)


def test_scores_by_hand() -> None:
    questions = (Question("", ("ab", "abcd"), 1), Question("", ("é",), 0))  # é is two bytes
    scores = _scores(EncodedTask("t", questions, (), 0), np.array([[4.0, 6.0, 3.0], [4.0, 3.0, 1.0]]))
    assert [score.accuracy for score in scores] == [0.0, 1.0]
    assert [score.normalised_accuracy for score in scores] == [1.0, 1.0]  # 2 and 1.5 bits a byte; 2 and 0.75
    assert [score.bits_per_byte for score in scores] == [9 / 6, 4 / 6]
    assert _scores(EncodedTask("t", questions[1:], (), 0), np.array([[3.0]]))[0].accuracy is None


@pytest.mark.parametrize(
    "line",
    [
        '{"context": "a"}',
        '{"context": "a", "choices": ["b", "c"], "answer": 2}',
        '{"context": "a", "choices": ["b"], "answer": 0}',
        '{"context": "a", "choices": ["b", ""], "answer": 0}',
        '{"context": "a", "choices": ["b", "c"], "answer": "b"}',
        "not json",
    ],
)
def test_bad_questions_are_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('{"context": "a", "answer": "b"}\n\n' + line)
    with pytest.raises(RequestError, match=r"task.jsonl, line 3"):
        read_task(path)


def test_both_kinds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(
        '{"context": "日本の", "choices": ["東京", "京都"], "answer": 0}\n{"context": "a", "answer": " b"}\n'
    )
    assert read_task(path) == [Question("日本の", ("東京", "京都"), 0), Question("a", (" b",), 0)]
    path.write_text("\n")
    with pytest.raises(RequestError, match="no questions"):
        read_task(path)


def test_answers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RequestError, match="has 5 tokens, it may have 1 to 4"):
        encode_questions("t", [Question("a", ("bcdef",), 0)], letters, 4, END)
