"""Sequence encoders: what an asker took so far, read item by item.

Each is a plain `nn.Module` from embeddings of right-padded sequences `[b, l, w]` to states of the
same shape. State `i` has seen embeddings `0 .. i` and nothing else, so padding on the right changes
no state before it, and no mask is handed around. What stands at padded positions means nothing.

They know no items, ids or losses: recommenders over ids read with them, and so may whatever else
turns a history into vectors. Counts of parameters are theirs alone, without any table of items.
"""
