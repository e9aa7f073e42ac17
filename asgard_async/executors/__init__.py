"""Executors, which run attempts of jobs.

An executor implements the protocol in base.py and passes the contract suite in
tests/executors/test_contract.py. No other code of the service depends on the kind of executor.
"""
