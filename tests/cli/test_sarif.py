"""SARIF from the shell: what validators and GitHub's code scanning ask, on real scans of hostile
trees.
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import jsonschema
import pytest
from sarif_validation import RULES, violations

Cli = Callable[..., Any]
SCHEMA = json.loads((Path(__file__).parents[1] / "sinks/data/sarif-schema-2.1.0.json").read_text())
TOKEN = b"tok_0123456789abcdefghij"
PACK = r"""
[[rules]]
id = "tok"
description = "A token [x](http://y) of {the} *shop*"
regex = '''\btok_([0-9a-z]{20})\b'''
keywords = ["tok_"]
tags = ["shop", "security", "shop", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12",
  "t13", "t14", "t15", "t16", "t17", "t18", "t19", "t20"]

[[rules]]
id = "PrivateKey"
regex = '''(?s)-----BEGIN.*?END-----\r?\n?'''

[[rules]]
id = "1st_byte!"
description = "%s"
regex = '''[\x80-\xff]Z'''

[[rules]]
id = "env-file"
path = '''\.env$'''
""" % ("long " * 400)

FILES: dict[bytes, bytes] = {
    b"plain.txt": b"key = " + TOKEN + b"\n",
    b"tabs\tand\nbreaks": b"\t\t" + TOKEN + b"\t\n",
    b"crlf.txt": b"one\r\ntwo " + TOKEN + b"\r\nthree\r\n",
    b"lone\rcr": b"one\rtwo " + TOKEN + b"\rthree " + TOKEN + b"\n" + TOKEN,
    b"bom.txt": b"\xef\xbb\xbf" + TOKEN + b"\n\xef\xbb\xbf " + TOKEN,
    b"wide.txt": "𝄞 é e\u0301 \u202e ".encode() + TOKEN + " 𝄞".encode(),
    b"latin\xe9.txt": b"\xe9\xe8 \xff\xfe " + TOKEN + b" \xe2\x82 " + TOKEN,
    b"bytes": b"\xc3Z \xf0\x9f\x92Z \xffZ\x80Z " + "𝄞".encode() + b"Z",
    b"keys.pem": "ü -----BEGIN KEY\r\n𝄞\r\nEND-----\r\n -----BEGIN\nEND-----".encode(),
    b"bang!/a:b%21 #?[].txt": TOKEN,
    b"d//.env": b"",
    b"nul.bin": b"\0\0\n\0" + TOKEN,
    b"-rf\x1b[31m": TOKEN,
}


@pytest.fixture
def hostile_tree(tmp_path: Path) -> Path:
    top = os.fsencode(tmp_path / "hostile")
    for name, data in FILES.items():
        path = os.path.join(top, os.path.normpath(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
    (tmp_path / "pack.toml").write_text(PACK)
    return Path(os.fsdecode(top))


def log_of(cli: Cli, top: Path, *arguments: str) -> dict[str, Any]:
    run = cli("scan", "-r", top.parent / "pack.toml", "-f", "sarif", *arguments, cwd=top)
    assert run.code in (1, 3), run.err
    log: dict[str, Any] = json.loads(run.out)
    jsonschema.Draft4Validator(
        SCHEMA, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER
    ).validate(log)
    return log


WAYS = [
    ["."],
    ["--shard-size", "7", "."],
    ["--backend", "reference", "."],
    ["--redact", "."],
    [".", "missing", "./gone!"],
    ["{top}"],
    ["{top}/bang!/../plain.txt", "{top}/link/../plain.txt"],
]


@pytest.mark.parametrize("arguments", WAYS)
def test_no_published_rule_is_broken(cli: Cli, hostile_tree: Path, arguments: list[str]) -> None:
    """The SDK's rules (errors and warnings), GitHub's rules for what it takes in, and what its page
    requires.
    """
    os.mkfifo(hostile_tree / "fifo!")
    (hostile_tree / "elsewhere/below").mkdir(parents=True)
    (hostile_tree / "elsewhere/plain.txt").write_bytes(TOKEN)
    (hostile_tree / "link").symlink_to("elsewhere/below")
    if arguments == ["."]:
        (hostile_tree / "fifo!").unlink()
    log = log_of(cli, hostile_tree, *(a.format(top=hostile_tree) for a in arguments))
    assert len(log["runs"][0]["results"]) >= 2
    assert violations(log) == []


@pytest.mark.parametrize(
    "arguments", [["."], ["--shard-size", "7", "."], ["--backend", "reference", "."]]
)
def test_a_region_holds_what_was_matched(
    cli: Cli, hostile_tree: Path, arguments: list[str]
) -> None:
    """Read as the log says (UTF-8, lines, UTF-16 code units), each region is the text of its
    bytes.
    """
    (run,) = log_of(cli, hostile_tree, *arguments)["runs"]
    assert (run["columnKind"], run["defaultEncoding"]) == ("utf16CodeUnits", "UTF-8")
    places = [r["locations"][0]["physicalLocation"] for r in run["results"]]
    assert len(places) >= 19
    for place in places:
        name = unquote_to_bytes(place["artifactLocation"]["uri"])
        with open(os.path.join(os.fsencode(hostile_tree), name), "rb") as file:
            data = file.read()
        region = place["region"]
        if "byteOffset" not in region:
            assert (name, region) == (
                b"d/.env",
                {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1},
            )
            continue
        lines = [
            line.decode("utf-8", "replace").encode("utf-16-le")
            for line in re.findall(rb"[^\n]*\n|[^\n]+", data.removeprefix(b"\xef\xbb\xbf"))
        ]
        first, last = region["startLine"] - 1, region["endLine"] - 1
        before, until = 2 * (region["startColumn"] - 1), 2 * (region["endColumn"] - 1)
        text = b"".join(lines[first : last + 1])
        text = text[before : sum(map(len, lines[first:last])) + until]
        match = data[region["byteOffset"] :][: region["byteLength"]]
        if match.endswith(b"Z"):  # it begins within a character: all of it is shown
            assert re.fullmatch("[\ufffd𝄞]Z", text.decode("utf-16-le"))
        else:
            assert text.decode("utf-16-le") == match.decode("utf-8", "replace")


def test_rules_are_described(cli: Cli, hostile_tree: Path) -> None:
    """What a pack says of a rule is there, its tags up to GitHub's limit; what it does not say is
    made up for.
    """
    (run,) = log_of(cli, hostile_tree, ".")["runs"]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert set(rules) == {"tok", "PrivateKey", "1st_byte!", "env-file"}
    tok = rules["tok"]
    assert (tok["name"], tok["shortDescription"]["text"]) == (
        "Tok",
        "A token [x](http://y) of {the} *shop*",
    )
    assert (
        r"\[x\]\(http://y\)" in tok["help"]["markdown"] and "[x](http://y)" in tok["help"]["text"]
    )
    assert (
        tok["properties"]["tags"][:3] == ["security", "shop", "t1"]
        and len(tok["properties"]["tags"]) == 20
    )
    assert tok["defaultConfiguration"]["level"] == "error"
    assert (
        rules["env-file"]["name"] == "EnvFile"
        and "env-file" in rules["env-file"]["fullDescription"]["text"]
    )
    assert rules["PrivateKey"]["name"] != "PrivateKey"
    assert all(re.fullmatch(r"([A-Z][a-z0-9]+)+", rule["name"]) for rule in rules.values())
    messages = {r["ruleId"]: r["message"]["text"] for r in run["results"]}
    assert messages["tok"] == r"A token \[x\](http://y) of {{the}} *shop*."


def test_a_uri_is_that_of_the_file(cli: Cli, hostile_tree: Path) -> None:
    """Whatever is written for `!`, the log's reader finds the file."""
    (run,) = log_of(cli, hostile_tree, ".")["runs"]
    uris = {
        r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]
    }
    assert {unquote_to_bytes(u) for u in uris} == {os.path.normpath(name) for name in FILES}
    here = run["invocations"][0]["workingDirectory"]["uri"]
    assert unquote_to_bytes(here) == b"file://" + os.fsencode(hostile_tree) + b"/"


def delete(*keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(log: dict[str, Any]) -> None:
        at: Any = log
        for key in keys[:-1]:
            at = at[key]
        del at[keys[-1]]

    return change


def put(value: Any, *keys: Any) -> Callable[[dict[str, Any]], None]:
    def change(log: dict[str, Any]) -> None:
        at: Any = log
        for key in keys[:-1]:
            at = at[key]
        at[keys[-1]] = value

    return change


RESULT = ("runs", 0, "results", 0)
PLACE = (*RESULT, "locations", 0, "physicalLocation")
RULE = ("runs", 0, "tool", "driver", "rules", 0)
DRIVER = ("runs", 0, "tool", "driver")
BREAKING: dict[str, Callable[[dict[str, Any]], None]] = {
    "sarif1001": lambda log: put(log["runs"][0]["tool"]["driver"]["rules"][0]["id"], *RULE, "name")(
        log
    ),
    "sarif1002": put("a b", *PLACE, "artifactLocation", "uri"),
    "sarif1004": put("file:///x", *PLACE, "artifactLocation", "uri"),
    "sarif1005": put("docs/", *DRIVER, "informationUri"),
    "sarif1006": put({"startTimeUtc": "2", "endTimeUtc": "1"}, "runs", 0, "invocations", 0),
    "sarif1007": put(0, *PLACE, "region", "endColumn"),
    "sarif1008": put({"contextRegion": {}, "artifactLocation": {"uri": "x"}}, *PLACE),
    "sarif1009": put(99, *RESULT, "ruleIndex"),
    "sarif1010": put("other", *RESULT, "ruleId"),
    "sarif1011": put("https://example.org/sarif-2.0.0.json", "$schema"),
    "sarif1012": put({"id": "x"}, *RESULT, "message"),
    "sarif2001": put({"text": "no stop"}, *RESULT, "message"),
    "sarif2004": put({"id": "x"}, *RULE),
    "sarif2005": delete(*DRIVER, "semanticVersion"),
    "sarif2008": delete("$schema"),
    "sarif2017": delete(*PLACE, "region"),
    "gh1001": put([], *RESULT, "locations"),
    "gh1002": put([], "runs", 0, "threadFlowLocations"),
    "gh1003": put({"byteOffset": 1}, *PLACE, "region"),
    "gh1004": lambda log: put(log["runs"][0]["results"] * 1001, "runs", 0, "results")(log),
    "gh1005": put({"uri": "https://x/y"}, *PLACE, "artifactLocation"),
    "gh1006": put({"uri": "file:///elsewhere/y"}, *PLACE, "artifactLocation"),
    "gh1007": put({"text": ""}, *RESULT, "message"),
    "gh1013": put("2.0.0", "version"),
    "gh1014": delete("runs", 0, "results"),
    "gh1015": delete(*RESULT, "partialFingerprints"),
    "gh1016": delete(
        "runs",
        0,
        "invocations",
        0,
        "toolExecutionNotifications",
        0,
        "locations",
        0,
        "physicalLocation",
    ),
    "gh1017": delete(
        *(
            "runs",
            0,
            "invocations",
            0,
            "toolExecutionNotifications",
            0,
            "locations",
            0,
            "physicalLocation",
            "region",
        )
    ),
    "gh1018": delete(*DRIVER, "name"),
    "gh2012": delete(*RULE, "help"),
    "github_documentation": delete(*PLACE, "region", "startColumn"),
}


@pytest.fixture(scope="module")
def good_log(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    import subprocess
    import sys

    top = tmp_path_factory.mktemp("good")
    (top / "p.toml").write_text(PACK)
    (top / "f").write_bytes(TOKEN)
    command = [
        sys.executable,
        "-m",
        "vyre_dist",
        "scan",
        "-r",
        "p.toml",
        "-f",
        "sarif",
        "f",
        "missing",
    ]
    done = subprocess.run(command, cwd=top, env=environment, capture_output=True, timeout=60)
    log: dict[str, Any] = json.loads(done.stdout)
    assert violations(log) == []
    return log


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_can_be_broken(good_log: dict[str, Any], rule: str) -> None:
    """The checks find what they are for: one change of a good log is enough."""
    log = copy.deepcopy(good_log)
    BREAKING[rule](log)
    assert list(RULES[rule](log))
