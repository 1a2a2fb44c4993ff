"""What answers questions about users: a language model given the user as a vector or in words.

Two ways to tell a model who asks are compared here (UQABench): vectors that an encoder of
sequences makes of a user and an adapter turns into soft tokens before the prompt, and the same
events in words. Between counting and reading everything lie the baselines that bound both.
"""
