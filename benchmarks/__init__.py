"""Benchmarks: every case through kexue_num and each peer, alternating in one process."""
