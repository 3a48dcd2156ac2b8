"""Flows say when: each file is one DAG and computes nothing."""
