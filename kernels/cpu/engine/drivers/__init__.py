"""Loops over tiles, compiled by Numba; imported only to build them.

A driver is ``name(a, task, scratch)``: a points to the row's arguments (int64), task counts the
row's tasks, scratch is the address of the thread's own memory. It calls vector code by address.
"""
