import logging

import pytest
from gather_rounds import documents, run_gather

from corpusmill.pipeline.document import Batch
from corpusmill.pipeline.errors import CorpusmillError
from corpusmill.stages.gather.exact import Exact
from corpusmill.stages.gather.minhash import MinHash

TEXT = "one two three four five six seven eight"


def parts() -> list[list[Batch]]:
    """web: 3 of 6 go; books: 1 of 2, for a copy in web; wiki: nothing."""
    web = [*[TEXT] * 4, "other words entirely here", "x y z"]
    return [
        [documents(web[:3], sources=["web"] * 3)],
        [
            documents(web[3:5], sources=["web"] * 2, first_row=1 << 24),
            documents(["x y z"], sources=["web"], first_row=(1 << 24) + 2),
        ],
        [documents([TEXT, "a book"], sources=["books"] * 2, first_row=2 << 24)],
        [documents(["a wiki"], sources=["wiki"], first_row=3 << 24)],
        [],
    ]


@pytest.mark.parametrize("stage", [Exact, MinHash])
@pytest.mark.parametrize(
    ("share", "size", "alarms"),
    [
        (0.5, 5, []),
        (0.499, 5, [("books", 0.5), ("web", 0.5)]),
        (0.5, 4, [(None, 5.0)]),
        (1.0, 10, []),
    ],
)
def test_limits(
    stage: type[Exact] | type[MinHash],
    share: float,
    size: int,
    alarms: list[tuple[str | None, float]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = stage(alarm_source_share=share, alarm_cluster_size=size)
    with caplog.at_level(logging.WARNING):
        decisions, rounds = run_gather(settings, parts(), num_ranges=2)
    told = [(line["source"], line["value"]) for line in rounds["alarms"].to_pylist()]
    assert sorted(told, key=str) == sorted(alarms, key=str)
    assert len(caplog.messages) == len(alarms)
    assert sum(table.column("keep").to_pylist().count(False) for table in decisions) == 4


@pytest.mark.parametrize("stage", [Exact, MinHash])
def test_stop_names_every_alarm_with_examples(stage: type[Exact] | type[MinHash]) -> None:
    settings = stage(alarm_source_share=0.4, alarm_cluster_size=2, on_alarm="stop")
    with pytest.raises(CorpusmillError) as error:
        run_gather(settings, parts())
    message = str(error.value)
    assert (
        f"{settings.name}: source 'web' loses 50.0% of its documents (limit 40.0%): s/00000001 for s/00000000"
        in message
    )
    assert "a cluster of 5 documents (limit 2): s/00000001 for s/00000000" in message
    assert "on_alarm: warn" in message
