"""The report of a run: pictures and one self-contained HTML file, made from the files of the run folder.

``write_report`` does everything; ``write_figures`` draws the pictures alone.

Pages
    ``html``          ``report.html`` of a run
    ``tuning``        ``report.html`` of a tuning
    ``pages``         what both are made with: templates, embedded pictures, lists of settings

Words and tables
    ``verdict``       the headline and its reasons
    ``evaluation``    tables of what the policies earned in their environment
    ``value``         tables of values estimated from a log
    ``comparison``    other runs: whether they can be compared, and their last metrics
    ``curves``        what the training curves show: overfitting, underfitting
    ``format``        numbers, shares and intervals as text
    ``terminal``      plain-text tables for the command line

Pictures
    ``figures``       training curves and evaluation return; draws and saves all pictures of a run
    ``predictions``   predicted against realised value
    ``support``       how far decisions lie from the data
    ``data_picture``  returns, lengths and actions of the data
    ``style``         colours, fonts, axes
"""

from prudent.report.comparison import missing_comparisons, read_others
from prudent.report.figures import write_figures
from prudent.report.html import write_report
from prudent.report.tuning import tune_report
from prudent.runs.read import Run, read_run

__all__ = ["Run", "missing_comparisons", "read_others", "read_run", "tune_report", "write_figures", "write_report"]
