"""Sequential recommendation: networks that read a history in order."""
