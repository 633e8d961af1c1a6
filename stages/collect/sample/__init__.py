"""A small corpus that ships with corpusmill, written for it: prose in ten languages, pages, and planted trouble.

`documents.jsonl` holds texts in English, Chinese, Japanese, Thai, Arabic, Hindi, Spanish, French, German and Russian,
and among them exact copies, near-duplicates, spam, abuse, personal data (made up), evaluation questions, other
languages and a null. Every record says under `fate` what must become of it: `kept`, or the `rule` that drops it (or the
reason why it fails), whose duplicate it is, and which types of personal data are masked. `pages.warc.gz` holds web
pages in four charsets and captures that are none; `page_fates.json` is theirs, by WARC-Record-ID. The suite that the
questions come from is `evaluation.jsonl`. Fates are those of the quickstart's recipe, which tests/test_sample_fates.py
builds.

`importlib.resources.files("corpusmill.stages.collect.sample")` is the folder; recipes reach it through a variable.
"""
