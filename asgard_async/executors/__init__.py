"""Executors: the places where attempts of jobs run.

An executor implements the protocol in base.py and passes the contract suite in
tests/executors/test_contract.py. Nothing else in the service knows which executor runs a job.
"""
