"""The library's mathematics a second time, slowly: NumPy, float64, one member and one row at a time.

Written from the papers and the design, not from ``src/``; every loss, network and optimiser is compared with these.
"""
