"""Trials on Ray Tune: scheduler, searcher, trainable, placement and the watchdog. Ray Tune is imported only here."""
