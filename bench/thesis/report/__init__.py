"""The report: a section for each of the thesis's experiments, as Markdown, HTML, CSV tables and PNG figures."""
