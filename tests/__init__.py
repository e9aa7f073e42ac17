"""Tests; the folders are those of the package, each test file is named like its module."""
