"""What every model must beat, and what none can: short, exact, quick to fit."""
