"""Tasks as local JSONL: multiple choice and cloze, scored by the likelihood of the answers, for every model of a stack.

    {"context": "The capital of France is", "choices": [" Paris", " Rome"], "answer": 0}     multiple choice
    {"context": "The capital of France is", "answer": " Paris"}                              cloze

Context and answer are encoded as one text and cut where the context alone would end, its trailing spaces with the
answer, as lm-evaluation-harness does: a text would never be tokenized as two. A choice is scored by the summed
log-likelihood of its tokens given the context: *accuracy* takes the likeliest, *normalised accuracy* the likeliest a
byte (Gao et al.: acc and acc_norm). *Bits per byte* of the right answers is the smooth measure that small models need:
it separates them long before accuracy leaves chance. Ties go to the first.

A context that does not fit the models' sequence length loses its beginning; an answer that does not fit is refused.
"""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from corpusmill.mixtures.proxy.evaluate import Window, summed_bits
from corpusmill.mixtures.proxy.transformer import Parameters, Shape
from corpusmill.pipeline.errors import RequestError

Encode: TypeAlias = Callable[[str], list[int]]
"""A tokenizer's: text to ids, without beginning or end tokens."""


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
class EncodedTask:
    """A task's choices as tokens, question by question: [end token, context, answer] and the answer's length."""

    name: str
    questions: tuple[Question, ...]
    options: tuple[tuple[tuple[int, ...], int], ...]
    num_shortened: int  # options whose context lost its beginning


@dataclass(frozen=True)
class TaskScores:
    """Of one model. Accuracies are None where the task is all cloze."""

    accuracy: float | None
    normalised_accuracy: float | None
    bits_per_byte: float
    num_questions: int
    num_shortened: int


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


def encode_task(path: Path, encode: Encode, *, sequence_length: int, end_of_document: int) -> EncodedTask:
    """A file's questions for models of one sequence length; a context follows an end token, as a document does.

    The task's name is the file's. Raises RequestError for an answer that does not fit.
    """
    questions = read_task(path)
    return encode_questions(path.stem, questions, encode, sequence_length, end_of_document)


def encode_questions(
    name: str, questions: Sequence[Question], encode: Encode, sequence_length: int, end_of_document: int
) -> EncodedTask:
    options, num_shortened = [], 0
    for question in questions:
        kept = question.context.rstrip(" ")
        context = encode(kept)
        for choice in question.choices:
            answer = encode(question.context + choice)[len(context) :]
            if not answer or len(answer) > sequence_length:
                raise RequestError(
                    f"task {name}: answer {choice[:60]!r} has {len(answer)} tokens, "
                    f"it may have 1 to {sequence_length}. Take it out, or train with a longer sequence_length."
                )
            tokens = (end_of_document, *context, *answer)
            num_shortened += len(tokens) > sequence_length + 1
            options.append((tokens[-(sequence_length + 1) :], len(answer)))
    return EncodedTask(name, tuple(questions), tuple(options), num_shortened)


def score_task(
    parameters: Parameters, shape: Shape, task: EncodedTask, *, bfloat16: bool = False, batch_tokens: int = 4096
) -> list[TaskScores]:
    """Scores of every model of a stack, in order."""

    def bits(sequences: Sequence[tuple[int, ...]]) -> npt.NDArray[np.float64]:
        """Summed -log2 likelihood [R, n] of all but the first token of each sequence."""
        windows = [Window(index, np.array(tokens, dtype=np.int64)) for index, tokens in enumerate(sequences)]
        scored = [window for window in windows if len(window.tokens) > 1]
        many = len(sequences)
        return summed_bits(parameters, shape, scored, num_domains=many, batch_tokens=batch_tokens, bfloat16=bfloat16)

    whole_RO = bits([tokens for tokens, _ in task.options])
    before_RO = bits([tokens[:-length] for tokens, length in task.options])
    return _scores(task, whole_RO - before_RO)


def _scores(task: EncodedTask, bits_RO: npt.NDArray[np.float64]) -> list[TaskScores]:
    """From the bits of every choice of every question, one after the other."""
    R = len(bits_RO)
    right_R, right_by_byte_R, bits_R = np.zeros(R), np.zeros(R), np.zeros(R)
    num_bytes = num_choices = first = 0
    for question in task.questions:
        bits_RC = bits_RO[:, first : first + len(question.choices)]
        bytes_C = np.array([len(choice.encode()) for choice in question.choices])
        if not question.is_cloze:
            num_choices += 1
            right_R += bits_RC.argmin(axis=1) == question.answer
            right_by_byte_R += (bits_RC / bytes_C).argmin(axis=1) == question.answer
        bits_R += bits_RC[:, question.answer]
        num_bytes += int(bytes_C[question.answer])
        first += len(question.choices)
    counts = len(task.questions), task.num_shortened
    asked = num_choices or math.nan
    return [
        TaskScores(_known(right / asked), _known(by_byte / asked), float(bits / num_bytes), *counts)
        for right, by_byte, bits in zip(right_R.tolist(), right_by_byte_R.tolist(), bits_R.tolist(), strict=True)
    ]


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


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
