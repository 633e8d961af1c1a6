"""Tasks as local JSONL: multiple choice and cloze, scored by the likelihood of the answers, for every model of a stack.

    {"context": "The capital of France is", "choices": [" Paris", " Rome"], "answer": 0}     multiple choice
    {"context": "The capital of France is", "answer": " Paris"}                              cloze

Context and answer are encoded apart and joined, so an answer's tokens do not depend on its rivals. A choice is scored
by the summed log-likelihood of its tokens given the context: *accuracy* takes the likeliest, *normalised accuracy* the
likeliest a byte (Gao et al., lm-evaluation-harness: acc and acc_norm). *Bits per byte* of the right answers is the
smooth measure that small models need: it separates them long before accuracy leaves chance. Ties go to the first.

A context that does not fit the models' sequence length loses its beginning; an answer that does not fit is refused.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.evaluate import Window, summed_bits
from corpusmill.mixtures.proxy.transformer import Parameters, Shape
from corpusmill.pipeline.errors import RequestError


class Encoder(Protocol):
    """A tokenizer, such as a sentencepiece processor."""

    def encode(self, text: str) -> list[int]: ...


@dataclass(frozen=True)
class Question:
    """`choices` has the right answer alone for a cloze."""

    context: str
    choices: tuple[str, ...]
    answer: int

    @property
    def is_cloze(self) -> bool:
        return len(self.choices) == 1


@dataclass(frozen=True)
class TaskScores:
    """Of each model [R]. Accuracies are NaN where the task is all cloze."""

    accuracy_R: npt.NDArray[np.float64]
    normalised_accuracy_R: npt.NDArray[np.float64]
    bits_per_byte_R: npt.NDArray[np.float64]
    num_questions: int
    num_shortened: int  # contexts that lost their beginning


def read_task(path: Path) -> list[Question]:
    """The questions of a file. Raises RequestError naming the line of one that is none."""
    questions = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            try:
                questions.append(_question(json.loads(line)))
            except (ValueError, KeyError, TypeError) as error:
                raise RequestError(
                    f"{path}, line {number}: {error!r}. Write context, choices and the number of the right one as "
                    "answer (from 0), or context and answer."
                ) from error
    if not questions:
        raise RequestError(f"{path}: no questions. Write one JSON object a line.")
    return questions


def score_task(
    parameters: Parameters,
    shape: Shape,
    questions: Sequence[Question],
    encoder: Encoder,
    *,
    sequence_length: int,
    end_of_document: int,
    batch_tokens: int = 4096,
) -> TaskScores:
    """Scores of every model of a stack; a question's context follows an end token, as a document does."""
    options, num_shortened = [], 0
    for question in questions:
        context = encoder.encode(question.context)
        for choice in question.choices:
            answer = encoder.encode(choice)
            if not answer or len(answer) > sequence_length:
                raise RequestError(
                    f"task: answer {choice[:60]!r} has {len(answer)} tokens, it may have 1 to {sequence_length}."
                )
            tokens = [end_of_document, *context, *answer]
            num_shortened += len(tokens) > sequence_length + 1
            options.append((tokens[-(sequence_length + 1) :], len(answer)))
    whole_RO = _bits(parameters, shape, [tokens for tokens, _ in options], batch_tokens)
    before_RO = _bits(parameters, shape, [tokens[:-length] for tokens, length in options], batch_tokens)
    return _scores(questions, whole_RO - before_RO, num_shortened)


def _scores(questions: Sequence[Question], bits_RO: npt.NDArray[np.float64], num_shortened: int) -> TaskScores:
    """From the bits of every choice of every question, one after the other."""
    R = len(bits_RO)
    right_R, right_by_byte_R, bits_R = np.zeros(R), np.zeros(R), np.zeros(R)
    num_bytes = num_choices = first = 0
    for question in questions:
        bits_RC = bits_RO[:, first : first + len(question.choices)]
        bytes_C = np.array([len(choice.encode()) for choice in question.choices])
        if not question.is_cloze:
            num_choices += 1
            right_R += bits_RC.argmin(axis=1) == question.answer
            right_by_byte_R += (bits_RC / bytes_C).argmin(axis=1) == question.answer
        bits_R += bits_RC[:, question.answer]
        num_bytes += int(bytes_C[question.answer])
        first += len(question.choices)
    asked = num_choices or np.nan
    return TaskScores(right_R / asked, right_by_byte_R / asked, bits_R / num_bytes, len(questions), num_shortened)


def _bits(
    parameters: Parameters, shape: Shape, sequences: Sequence[Sequence[int]], batch_tokens: int
) -> npt.NDArray[np.float64]:
    """Summed -log2 likelihood [R, n] of all but the first token of each sequence."""
    windows = [Window(index, np.array(tokens, dtype=np.int64)) for index, tokens in enumerate(sequences)]
    scored = [window for window in windows if len(window.tokens) > 1]
    return summed_bits(parameters, shape, scored, num_domains=len(sequences), batch_tokens=batch_tokens)


def _question(facts: dict[str, Any]) -> Question:
    if "choices" not in facts:
        return Question(str(facts["context"]), (_text(facts["answer"]),), 0)
    choices = tuple(_text(choice) for choice in facts["choices"])
    answer = facts["answer"]
    if not isinstance(answer, int) or not 0 <= answer < len(choices) or len(choices) < 2:
        raise ValueError(f"answer {answer!r} of {len(choices)} choices")
    return Question(str(facts["context"]), choices, answer)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{value!r} is no text")
    return value
