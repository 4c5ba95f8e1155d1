"""`report.html` and `plots/`: what a search found, on one page.

`data` is a run as plain data. `sections` is the outline of the page; its sentences are in `text`, its tables (time,
tokens a second, models, trials) in `tables`, its charts in `charts/`. `page` makes HTML of them, with the look of
`page.css`, and `write` puts page and pictures on disk.
"""
