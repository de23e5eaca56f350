"""The networks of cfg/, composed from blocks; one file per family, read from yolov2 onwards.

cfg.py       the sections of a network under construction
blocks.py    the blocks and heads that several families share
datasets.py  the names and .data files
"""
