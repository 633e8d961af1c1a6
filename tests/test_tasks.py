"""Task scores against probabilities worked out token by token, and by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from corpusmill.mixtures.proxy.tasks import Question, _scores, read_task, score_task
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


class Letters:
    """a = 1, b = 2, …; space = 27."""

    def encode(self, text: str) -> list[int]:
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
    scores = score_task(parameters, SHAPE, QUESTIONS, Letters(), sequence_length=16, end_of_document=END)
    assert scores.num_questions == 4
    assert scores.num_shortened == 3  # both choices of the long one; "the cat flew away" is 17 letters and the end
    for r in range(2):
        one = {name: value[r : r + 1] for name, value in parameters.items()}
        right = right_by_byte = 0
        bits_of_right, num_bytes = 0.0, 0
        for question in QUESTIONS:
            bits = []
            for choice in question.choices:
                answer = Letters().encode(choice)
                tokens = [END, *Letters().encode(question.context), *answer][-17:]
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
        assert scores.accuracy_R[r] == pytest.approx(right / 3)
        assert scores.normalised_accuracy_R[r] == pytest.approx(right_by_byte / 3)
        assert scores.bits_per_byte_R[r] == pytest.approx(bits_of_right / num_bytes, rel=1e-12)


def test_scores_by_hand() -> None:
    questions = [Question("", ("ab", "abcd"), 1), Question("", ("é",), 0)]  # é is two bytes
    scores = _scores(questions, np.array([[4.0, 6.0, 3.0], [4.0, 3.0, 1.0]]), 0)
    assert scores.accuracy_R.tolist() == [0.0, 1.0]
    assert scores.normalised_accuracy_R.tolist() == [1.0, 1.0]  # 2 and 1.5 bits a byte; 2 and 0.75
    assert scores.bits_per_byte_R.tolist() == [9 / 6, 4 / 6]
    assert np.isnan(_scores(questions[1:], np.array([[3.0]]), 0).accuracy_R).all()


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
    parameters = initial_parameters(SHAPE, [3])
    with pytest.raises(RequestError, match="has 5 tokens, it may have 1 to 4"):
        score_task(parameters, SHAPE, [Question("a", ("bcdef",), 0)], Letters(), sequence_length=4, end_of_document=END)
