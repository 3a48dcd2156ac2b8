"""Forgery: builds a partial-forgery benchmark with exact truth from genuine clips."""
