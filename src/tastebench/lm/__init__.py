"""Language models once, for everyone: where they lie, how they are loaded, batched and sped up."""
