"""Inputs: turns what the user named into a stream of document descriptors. It opens no document."""

from vyre_dist.input_problem import InputNote, InputProblem
from vyre_dist.sources.document import DocumentRef, FolderFiles, ProblemReason, problem_of
from vyre_dist.sources.file_names import FileNames
from vyre_dist.sources.lists import (
    FileListError,
    SpoolError,
    StdinTooLargeError,
    read_file_list,
    spool_stdin,
)
from vyre_dist.sources.pipes import Pipes, pipe_id, spool_pipes
from vyre_dist.sources.walk import walk, walk_folders
from vyre_dist.sources.walk_options import WalkOptions
from vyre_dist.sources.walk_stats import SkipReason, WalkStats

__all__ = [
    "DocumentRef",
    "FileListError",
    "FileNames",
    "FolderFiles",
    "InputNote",
    "InputProblem",
    "Pipes",
    "ProblemReason",
    "SkipReason",
    "SpoolError",
    "StdinTooLargeError",
    "WalkOptions",
    "WalkStats",
    "pipe_id",
    "problem_of",
    "read_file_list",
    "spool_pipes",
    "spool_stdin",
    "walk",
    "walk_folders",
]
