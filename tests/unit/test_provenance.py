import os
import platform
import re
import sys

import pytest

from stainproof import provenance
from stainproof.provenance import without_password


def test_a_command_with_bytes_that_are_no_text_can_be_written_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "argv", ["stainproof", "train", os.fsdecode(b"z\xe4hlung")])
    said = provenance.collect()
    assert said.model_validate_json(said.model_dump_json()) == said


def test_a_password_in_an_address_is_not_kept() -> None:
    assert without_password("postgresql://me:p/w@host/db") == "postgresql://me:***@host/db"
    assert without_password("postgresql://host/db?password=pw&a=1").endswith("password=***&a=1")
    for harmless in ("postgresql://me@host/db", "sqlite:///x.db", "cells:64", "a=b@c"):
        assert without_password(harmless) == harmless


@pytest.mark.skipif(platform.machine() != "x86_64", reason="only x86 has families of processors")
def test_the_machine_names_the_generation_of_the_processor() -> None:
    assert re.search(r"\(family \d+, model \d+\), \d+ cores", provenance.collect().machine)
