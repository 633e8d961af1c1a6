"""Mailboxes, written by the standard library's own writer, become mails; the books count both."""

import email.mime.multipart
import email.mime.text
import mailbox
from email.message import EmailMessage, Message
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpus import run_recipe, small_recipe

from corpusmill.pipeline.document import DOCUMENT_SCHEMA
from corpusmill.pipeline.errors import RequestError
from corpusmill.pipeline.explain import explain
from corpusmill.pipeline.run_folder import RunFolder
from corpusmill.pipeline.status import read_status
from corpusmill.pipeline.verify import verify
from corpusmill.stages.expand.mbox import Mbox

BODIES = {
    "en": ("us-ascii", "The ferry leaves at nine.\n\nFrom here on the road is closed.\n"),
    "fr": ("iso-8859-1", "Le café ferme à midi, voilà tout.\n"),
    "zh": ("gb18030", "渡船九点开,请提前到码头。\n"),
    "ja": ("iso-2022-jp", "船は九時に出ます。\n"),
    "th": ("utf-8", "เรือออกเวลาเก้าโมงเช้า\n"),
    "ar": ("utf-8", "تغادر العبارة في الساعة التاسعة\n"),
    "hi": ("utf-8", "नाव नौ बजे निकलती है\n"),
    "ru": ("koi8-r", "Паром отходит в девять.\n"),
}


def mail(text: str, charset: str = "utf-8", subject: str = "Ferry", subtype: str = "plain") -> Message:
    made = email.mime.text.MIMEText(text, subtype, charset)
    made["Subject"], made["From"], made["Message-ID"] = subject, "ann@example.org", f"<{len(text)}@example.org>"
    return made


def write_mailbox(path: Path, mails: list[Message]) -> None:
    """With the standard library's writer, which puts `>` before `From ` inside a mail."""
    box = mailbox.mbox(path)
    for each in mails:
        wrapped = mailbox.mboxMessage(each)
        wrapped.set_from("ann at example.org", (2020, 1, 31, 23, 59, 58, 4, 31, 0))
        box.add(wrapped)
    box.close()


def expand(text: str, **settings: Any) -> list[tuple[Any, ...]]:
    """(id, text, reason) of every row."""
    row = {"id": "mail/box#0", "text": text, "source": "mail"}
    rows, parents, reasons = Mbox(**settings).open().expand(pa.RecordBatch.from_pylist([row], schema=DOCUMENT_SCHEMA))
    assert parents.to_pylist() == [0] * rows.num_rows
    assert set(rows.column("source").to_pylist()) == {"mail"}
    return list(zip(*(rows.column(c).to_pylist() for c in ("id", "text")), reasons.to_pylist(), strict=True))


def test_mails_of_every_charset_read_as_they_were_written(tmp_path: Path) -> None:
    write_mailbox(tmp_path / "box", [mail(text, charset) for charset, text in BODIES.values()])
    found = expand((tmp_path / "box").read_text("utf-8"))
    assert found == [(f"mail/box#0/{n}", text, None) for n, (_, text) in enumerate(BODIES.values())]


def test_mails_of_eight_bit_charsets_keep_their_bytes() -> None:
    parts = []
    for name in ("fr", "zh", "ru"):
        charset, text = BODIES[name]
        head = f"From a@b Fri Jan 31 23:59:58 2020\nContent-Type: text/plain; charset={charset}\n"
        parts.append((head + "Content-Transfer-Encoding: 8bit\n\n").encode() + text.encode(charset) + b"\n")
    read = b"".join(parts).decode("latin-1")  # what `text: {charset: latin-1}` gives
    assert [text for _, text, _ in expand(read, charset="latin-1")] == [BODIES[n][1] for n in ("fr", "zh", "ru")]


@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\n>F"), min_size=1)))
def test_whatever_mails_say_they_come_back_in_number_and_text(texts: list[str]) -> None:
    texts = [text.replace("\r", "").strip("\n") for text in texts]
    lines = []
    for text in texts:
        quoted = "\n".join(">" + line if line.lstrip(">").startswith("From ") else line for line in text.split("\n"))
        lines.append(f"From a@b Fri Jan 31 23:59:58 2020\nContent-Type: text/plain; charset=utf-8\n\n{quoted}\n\n")
    found = expand("".join(lines)) if texts else []
    wanted = [(text + "\n", None) if text and not text.isspace() else (None, "empty_document") for text in texts]
    assert [(text, reason) for _, text, reason in found] == wanted


def test_plain_before_html_and_html_where_there_is_nothing_else() -> None:
    page = "<html><body><p>A page about ferries that leave at nine.</p></body></html>"
    both = email.mime.multipart.MIMEMultipart("alternative")
    both.attach(mail(page, subtype="html"))
    both.attach(mail("Plain words.\n"))
    box = "From a@b Fri Jan 31 23:59:58 2020\n"
    texts = [
        text for _, text, _ in expand(box + both.as_string() + "\n" + box + mail(page, subtype="html").as_string())
    ]
    assert texts == ["Plain words.\n", "A page about ferries that leave at nine.\n"]


def test_an_attachment_is_no_text() -> None:
    made = EmailMessage()
    made.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="a.pdf")
    assert expand("From a@b Fri Jan 31 23:59:58 2020\n" + made.as_string())[0][1:] == (None, "empty_document")


def test_a_text_that_is_no_mailbox_says_so() -> None:
    assert expand("From the harbour the road leads north.\n") == [("mail/box#0/0", None, "unsupported_format")]


def test_quoted_lines_go_when_they_are_not_wanted() -> None:
    box = "From a@b Fri Jan 31 23:59:58 2020\n\n> said before\n>> and before that\nSaid now.\n"
    assert expand(box, quotes=False)[0][1] == "Said now.\n"
    assert expand(box)[0][1] == "> said before\n>> and before that\nSaid now.\n"


def test_an_unknown_charset_is_refused_when_the_recipe_is_read() -> None:
    with pytest.raises(RequestError, match="utf-8 or latin-1"):
        Mbox(charset="none")


def test_in_a_recipe_the_books_count_mailboxes_and_mails(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    write_mailbox(tmp_path / "in" / "one.mbox", [mail(text, charset) for charset, text in BODIES.values()])
    write_mailbox(tmp_path / "in" / "two.mbox", [mail("Only this one is here to stay.\n"), mail(" \n")])
    (tmp_path / "in" / "three.mbox").write_text("No mailbox at all.\n")
    drop = {"drop": {"when": "num_bytes > 60", "as": "long", "early": True}}
    tree = small_recipe(tmp_path, stages=["mbox", "normalize", drop])
    tree["sources"] = {"mail": {"read": "text", "paths": [str(tmp_path / "in")]}}
    run_recipe(tree, tmp_path / "run")
    run = RunFolder(str(tmp_path / "run"))
    assert verify(run).ok
    documents = read_status(run)["sources"]["mail"]["documents"]
    assert documents.pop("expanded") == {"parents": 3, "documents": 11}
    long = sum(len(text.encode()) > 60 for _, text in BODIES.values())
    assert documents == {
        "in": 11,
        "kept": 9 - long,
        "dropped": {"long": long},
        "failed": {"empty_document": 1, "unsupported_format": 1},
    }
    found = explain(run, "mail/one.mbox#0/2")
    assert (found["fate"], found["measures"]["mbox_parent"]) == ("kept", "mail/one.mbox#0")
    refused = explain(run, "mail/two.mbox#0/1")
    assert (refused["fate"], refused["rule"]) == ("failed", "empty_document")
