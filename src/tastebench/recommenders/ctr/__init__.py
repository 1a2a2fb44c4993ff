"""Click models built of three bricks: an item operator, a user operator and a predictor.

    t = item(content of the item)    u = user(t of what was clicked)    logit = predictor(u, t)

`bricks` says what each brick reads and makes, so that a combination that cannot work is refused
before anything is trained; `recipes` names the published combinations; `click_model` trains and
asks any of them.
"""
