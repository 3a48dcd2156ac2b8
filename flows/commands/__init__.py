"""What each command does: it calls a flow, or reads what a flow left, and says what came of it."""
