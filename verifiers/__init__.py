"""What is true: mathematics, code in a sandbox.

Import from the modules: `math.MathVerifier`, `code.CodeVerifier`, `sandbox.run_in_sandbox`, `base.Verifier`,
`answers.extract_answer`. Nothing is imported here, so that the algebra's process starts with what it needs.
"""
