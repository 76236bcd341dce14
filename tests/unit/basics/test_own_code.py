"""An error is laid at the user's door only where their code raised it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from csrms_dist.basics.lookup import own, own_code
from csrms_dist.errors import ConfigError
from csrms_dist.labels import LabelSpace


def test_the_users_file_and_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine_alone.py").write_text("import numpy as np\n\n\ndef fails():\n    np.zeros(2).reshape(3)\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="reshape") as raised:
        own("mine_alone:fails", "a setting")()
    frames = raised.value.with_traceback(raised.tb.tb_next)  # without this test's own
    assert own_code(frames) == "mine_alone.py, line 5"


def test_an_error_of_ours_or_of_a_library_is_nobody_elses() -> None:
    with pytest.raises(ConfigError) as raised:
        own("nowhere_at_all:thing", "a setting")
    assert own_code(raised.value.with_traceback(raised.tb.tb_next)) == ""
    with pytest.raises(TypeError) as raised_too:
        LabelSpace(("a",)).membership(np.float64(1))  # type: ignore[arg-type]
    assert own_code(raised_too.value.with_traceback(raised_too.tb.tb_next)) == ""
