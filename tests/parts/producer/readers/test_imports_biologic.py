"""The library for .mpr files is GPL-3.0-or-later: nothing imports it before such a file is read."""

from __future__ import annotations

import subprocess
import sys


def test_no_reader_imports_the_gpl_library_before_it_reads() -> None:
    program = (
        "import sys; from producer.readers.registry import registered_readers; registered_readers(); "
        "print('producer.readers.biologic_binary' in sys.modules, [one for one in sys.modules if 'galvani' in one])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "True []"
