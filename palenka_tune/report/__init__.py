"""What a search found, on one page: plain data of runs in, `report.html` and `plots/` out."""
