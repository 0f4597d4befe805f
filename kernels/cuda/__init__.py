"""The programs on NVIDIA GPUs: CUDA C++ templates, compiled by NVRTC and launched through CuPy.

One launcher and one header of the same name for each program; what they share is in the other
headers. Nothing here is imported before a GPU is asked for.
"""
