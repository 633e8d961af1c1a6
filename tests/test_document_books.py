from itertools import pairwise

from report_run import BOOKS, ENGLISH, WEB, built_run

from corpusmill.pipeline.report.document_books import stage_of, waterfall


def test_waterfall_counts_what_the_corpus_holds() -> None:
    make, decide, exact = waterfall(built_run())
    assert [phase["phase"] for phase in (make, decide, exact)] == ["make", "decide-1", "exact"]
    assert (make["in"], make["kept"]) == (9, 8)
    assert make["steps"] == [{"rule": "null_text", "failed": True, "documents": 1, "bytes": 0, "sources": {"books": 1}}]
    assert (decide["in"], decide["kept"]) == (8, 5)
    short, controls = decide["steps"]
    size = len(str(WEB["short"]).encode()) + len(str(WEB["zh"]).encode())
    assert short == {"rule": "short", "failed": False, "documents": 2, "bytes": size, "sources": {"web": 2}}
    assert (controls["rule"], controls["documents"]) == ("controls", 1)
    assert exact["steps"][0]["rule"] == "exact.duplicate"
    assert exact["steps"][0]["bytes"] == len(ENGLISH.encode())
    assert exact["by_source"]["web"]["kept"] == 3
    assert exact["by_source"]["books"]["bytes_kept"] == len(str(BOOKS["one"]).encode())


def test_every_phase_hands_on_what_it_kept() -> None:
    phases = waterfall(built_run())
    for phase in phases:
        assert phase["in"] == phase["kept"] + sum(step["documents"] for step in phase["steps"])
        assert phase["in"] == sum(counts["in"] for counts in phase["by_source"].values())
    for before, after in pairwise(phases):
        assert before["kept"] == after["in"]


def test_stage_of() -> None:
    assert [stage_of(name) for name in ("make", "decide-1", "minhash/decide")] == ["make", "decide-1", "minhash"]
