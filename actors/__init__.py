"""The Ray side: actors that own a ScanEngine, a pool of them for the driver, and jobs. Nothing else
imports ray.
"""
