"""The charts of a report: a module for each part of the page, the description they share, and who draws it.

A chart is a function that takes a run and returns a `figure.Figure`, or None if there is nothing to show. To add one,
write it in the module of its subject and name it in `report/sections.py`; `draw_plotly` puts it on the page, and
`draw_matplotlib` writes it to `plots/`, without a change to either.
"""
