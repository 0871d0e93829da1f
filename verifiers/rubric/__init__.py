"""Where no exact answer exists: a judge reads written criteria and must show what it saw.

Import from the modules: `criteria.Rubric`, `verifier.RubricVerifier`.
"""
