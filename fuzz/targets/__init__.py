"""What is fuzzed: each target reads bytes, and says what must hold of them."""

from __future__ import annotations

from targets.counter_tail import CounterTail
from targets.pack_readers import PackReaders
from targets.regex_parser import RegexParser
from targets.store_codec import StoreCodec
from targets.target import Target
from targets.task_codec import TaskCodec

TARGETS: dict[str, type[Target]] = {
    "regex_parser": RegexParser,
    "pack_readers": PackReaders,
    "task_codec": TaskCodec,
    "store_codec": StoreCodec,
    "counter_tail": CounterTail,
}
