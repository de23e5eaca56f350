"""Planned execution on the processor: blocked maps, vector code, and a table of rows that runs.

An op of a plan becomes rows (`records.Row`): a driver, which loops over tiles, and the addresses
it works on. Drivers are Python that Numba compiles (`drivers/`); what they call is vector code that
Python writes (`emit/`). Both are compiled once a machine, kept as object code (`store`), and run
by a team of threads that meet between rows (`team`). Nothing here knows a layer or a `.cfg`.

Only `build` imports Numba, `emit` and `drivers`: where the object code is found, nothing is
compiled.
"""
