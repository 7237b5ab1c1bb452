"""Meters that only the host can read while a trial runs: energy (RAPL, NVML) and the state of GPUs.

A trial's sandbox holds neither NVIDIA's management library nor readable energy counters (container engines mask
/sys/class/powercap, and energy_uj is root's), and NVML names processes by the host's numbers. So this side reads, all the
time, and the runner says on which stretch of the monotonic clock its timed loop ran (`docs/meters.md`).
"""
