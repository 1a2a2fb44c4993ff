"""Item representations: the forms an item can take, and how they are adapted."""
