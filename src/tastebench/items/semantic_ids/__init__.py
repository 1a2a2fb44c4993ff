"""Semantic ids: an item as a short path of codes, so that items alike share how they begin.

`recipe` says which, `methods` learn the codebooks, `ids` makes paths that tell all items apart,
`report` says how good they are and `artefact` keeps them.
"""
