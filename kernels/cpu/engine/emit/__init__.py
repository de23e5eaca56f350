"""Vector code, written by Python as LLVM's intermediate language; imported only to build it."""
