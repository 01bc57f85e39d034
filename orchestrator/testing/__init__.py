"""Tests of workflows without servers."""
