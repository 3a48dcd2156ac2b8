"""Systems: what can be trained, each behind one contract."""
