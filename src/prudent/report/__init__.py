"""What a run has to show: pictures and one self-contained HTML file, from the files of a run folder.

:func:`write_report` does everything; :func:`write_figures` makes the pictures alone.
"""

from prudent.report.comparison import read_others, unmeasured
from prudent.report.figures import write_figures
from prudent.report.html import write_report
from prudent.report.tuning import tune_report
from prudent.runs.read import Run, read_run

__all__ = ["Run", "read_others", "read_run", "tune_report", "unmeasured", "write_figures", "write_report"]
