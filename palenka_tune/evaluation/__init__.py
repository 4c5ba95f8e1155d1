"""What a trained model can do: accuracy on suites of minimal pairs, and cross-entropy on text.

From Python: `palenka_tune.evaluate.run`, which is `run.run` here. `suites` says which suites there are, `minimal_pairs`
and `perplexity` how a model is scored, `results` what comes out, `paired` how sure a difference between seeds is.
"""
