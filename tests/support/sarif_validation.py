"""The published rules for SARIF logs, as far as they say something of a log like ours, in our own
words.

SARIF1xxx and SARIF2xxx are the SDK's (errors and warnings; its notes are advice on style), GH1xxx
and GH2xxx what GitHub's code scanning asks of a log that it takes in. `violations` gives (rule,
where) for each one that is broken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

Log = dict[str, Any]
Place = tuple[str, Any]

_URI = re.compile(r"(?:[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=]|%[0-9A-Fa-f]{2})*")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_LIMITS = {"runs": 5, "rules": 1000, "results": 1000, "locations": 10}


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, str, Any]]:
    """(where, key, value) of each property of each object."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield where, key, inner
            yield from _walk(inner, f"{where}/{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _walk(inner, f"{where}/{i}")


def _objects(log: Log, *keys: str) -> Iterator[Place]:
    for where, key, value in _walk(log):
        if key in keys:
            for i, each in enumerate(value if isinstance(value, list) else [value]):
                yield f"{where}/{key}/{i}", each


def _results(log: Log) -> Iterator[tuple[str, Any, Any]]:
    for i, run in enumerate(log.get("runs", [])):
        for j, result in enumerate(run.get("results", [])):
            yield f"/runs/{i}/results/{j}", run, result


def _drivers(log: Log) -> Iterator[Place]:
    for i, run in enumerate(log.get("runs", [])):
        yield f"/runs/{i}/tool", run.get("tool", {}).get("driver", {})


def _descriptors(log: Log) -> Iterator[Place]:
    for where, driver in _drivers(log):
        for i, rule in enumerate(driver.get("rules", [])):
            yield f"{where}/rules/{i}", rule


def _physical(log: Log) -> Iterator[Place]:
    for where, location in _objects(log, "locations", "relatedLocations"):
        if "physicalLocation" in location:
            yield where, location["physicalLocation"]


def _blank(value: Any) -> bool:
    return not isinstance(value, str) or not value.strip()


def _uris(log: Log) -> Iterator[tuple[str, str]]:
    names = ("uri", "$schema", "helpUri", "informationUri", "downloadUri", "repositoryUri")
    for where, key, value in _walk(log):
        if key in names:
            yield f"{where}/{key}", value


def sarif1001(log: Log) -> Iterator[str]:
    """A rule's name is not its id."""
    return (where for where, rule in _descriptors(log) if rule.get("name") == rule.get("id"))


def sarif1002(log: Log) -> Iterator[str]:
    """URIs are those of RFC 3986; those of files have no `..`."""
    for where, uri in _uris(log):
        dots = uri.startswith("file:") and ".." in uri.split("/")
        if _URI.fullmatch(uri) is None or dots:
            yield where


def sarif1004(log: Log) -> Iterator[str]:
    """A base is for relative URIs, which begin with no slash; bases are absolute, and end in a
    slash.
    """
    for where, key, value in _walk(log):
        if key == "artifactLocation" and "uri" in value:
            absolute = _ABSOLUTE.match(value["uri"]) is not None
            if (absolute and "uriBaseId" in value) or (
                not absolute and value["uri"].startswith("/")
            ):
                yield where
        if key == "originalUriBaseIds":
            for name, base in value.items():
                uri = base.get("uri")
                good = uri is None or (
                    uri.endswith("/") and ".." not in uri.split("/") and not set("?#") & {*uri}
                )
                if not good or (
                    uri is not None and _ABSOLUTE.match(uri) is None and "uriBaseId" not in base
                ):
                    yield f"{where}/{name}"


def sarif1005(log: Log) -> Iterator[str]:
    """Addresses of pages are absolute."""
    names = ("informationUri", "downloadUri", "helpUri")
    return (w for w, u in _uris(log) if w.endswith(names) and _ABSOLUTE.match(u) is None)


def sarif1006(log: Log) -> Iterator[str]:
    """An invocation does not end before it begins."""
    for where, invocation in _objects(log, "invocations"):
        if invocation.get("endTimeUtc", "~") < invocation.get("startTimeUtc", ""):
            yield where


def sarif1007(log: Log) -> Iterator[str]:
    """A region has a beginning, and does not end before it."""
    for where, key, region in _walk(log):
        if key != "region":
            continue
        line, end = region.get("startLine"), region.get("endLine", region.get("startLine"))
        first, after = region.get("startColumn", 1), region.get("endColumn")
        begins = line is not None or "charOffset" in region or "byteOffset" in region
        backwards = line is not None and (
            end < line or (end == line and after is not None and after < first)
        )
        if not begins or backwards:
            yield f"{where}/region"


def sarif1008(log: Log) -> Iterator[str]:
    """A context is around a region."""
    return (w for w, p in _physical(log) if "contextRegion" in p and "region" not in p)


def sarif1009(log: Log) -> Iterator[str]:
    """An index is one into an array that is there."""
    for where, run, result in _results(log):
        if "ruleIndex" in result and not 0 <= result["ruleIndex"] < len(
            run["tool"]["driver"].get("rules", [])
        ):
            yield where


def sarif1010(log: Log) -> Iterator[str]:
    """A result names its rule, and says nothing else of it elsewhere."""
    for where, run, result in _results(log):
        rules = run["tool"]["driver"].get("rules", [])
        index = result.get("ruleIndex", -1)
        at_index = rules[index]["id"] if 0 <= index < len(rules) else result.get("ruleId")
        if _blank(result.get("ruleId")) or result["ruleId"] != at_index:
            yield where


def sarif1011(log: Log) -> Iterator[str]:
    """The schema is that of the final version."""
    return iter(
        ["/$schema"] if not log.get("$schema", "").endswith(("2.1.0.json", "2.1.0")) else []
    )


def sarif1012(log: Log) -> Iterator[str]:
    """A message that has only an id is one of its rule's."""
    return (w for w, _, result in _results(log) if "id" in result.get("message", {}))


def sarif2001(log: Log) -> Iterator[str]:
    """Messages are sentences."""
    for where, key, value in _walk(log):
        if key == "message" and not re.search(r"[.!?]\Z", value.get("text", "")):
            yield where


def sarif2004(log: Log) -> Iterator[str]:
    """Nothing is said twice: no rules of nothing but ids, no artifacts of nothing but places."""
    for where, rule in _descriptors(log):
        if set(rule) == {"id"}:
            yield where
    for where, _, result in _results(log):
        if "rule" in result or "analysisTarget" in result:
            yield where


def sarif2005(log: Log) -> Iterator[str]:
    """A tool has a short name and a version."""
    for where, driver in _drivers(log):
        if len(driver.get("name", "").split()) > 3 or not {"version", "semanticVersion"} & set(
            driver
        ):
            yield where


def sarif2008(log: Log) -> Iterator[str]:
    """There is a schema."""
    return iter(["/$schema"] if "$schema" not in log else [])


def sarif2017(log: Log) -> Iterator[str]:
    """A result has a line."""
    return gh1003(log)


def gh1001(log: Log) -> Iterator[str]:
    """A result has a place, with the file's URI."""
    for where, _, result in _results(log):
        places = [p.get("physicalLocation", {}) for p in result.get("locations", [])]
        if not places or any(_blank(p.get("artifactLocation", {}).get("uri")) for p in places):
            yield where


def gh1002(log: Log) -> Iterator[str]:
    """Nothing is kept in the run's list of thread flow locations."""
    return (w for w, run in _objects(log, "runs") if "threadFlowLocations" in run)


def gh1003(log: Log) -> Iterator[str]:
    """A result's place has a region with a line."""
    for where, _, result in _results(log):
        for location in result.get("locations", []):
            if location.get("physicalLocation", {}).get("region", {}).get("startLine", 0) < 1:
                yield where


def gh1004(log: Log) -> Iterator[str]:
    """Arrays are no longer than what is shown."""
    for where, key, value in _walk(log):
        if len(value) > _LIMITS.get(key, len(value)) if isinstance(value, list) else False:
            yield f"{where}/{key}"


def gh1005(log: Log) -> Iterator[str]:
    """A result lies in a file."""
    for where, _, result in _results(log):
        for location in result.get("locations", []):
            scheme = _ABSOLUTE.match(location["physicalLocation"]["artifactLocation"]["uri"])
            if scheme is not None and scheme[0].lower() != "file:":
                yield where


def gh1006(log: Log) -> Iterator[str]:
    """An absolute file URI lies below the invocation's working directory."""
    for where, run, result in _results(log):
        here = [i.get("workingDirectory", {}).get("uri", "?") for i in run.get("invocations", [])]
        for location in result.get("locations", []):
            uri = location["physicalLocation"]["artifactLocation"]["uri"]
            if uri.startswith("file:") and not uri.startswith(
                tuple(h.rstrip("/") + "/" for h in here)
            ):
                yield where


def gh1007(log: Log) -> Iterator[str]:
    """A result's message is all there."""
    return (w for w, _, result in _results(log) if _blank(result.get("message", {}).get("text")))


def gh1013(log: Log) -> Iterator[str]:
    """A log has runs, a schema and the version."""
    return iter([] if {"runs", "$schema"} <= set(log) and log.get("version") == "2.1.0" else ["/"])


def gh1014(log: Log) -> Iterator[str]:
    """A run has results and a tool."""
    return (w for w, run in _objects(log, "runs") if not {"results", "tool"} <= set(run))


def gh1015(log: Log) -> Iterator[str]:
    """A result has a message, places and partial fingerprints."""
    for where, _, result in _results(log):
        if not (
            result.get("message") and result.get("locations") and result.get("partialFingerprints")
        ):
            yield where


def gh1016(log: Log) -> Iterator[str]:
    """A location, of anything, is a physical one."""
    return (w for w, place in _objects(log, "locations") if "physicalLocation" not in place)


def gh1017(log: Log) -> Iterator[str]:
    """A physical location, of anything, has a file and a region."""
    return (w for w, p in _physical(log) if not {"artifactLocation", "region"} <= set(p))


def gh1018(log: Log) -> Iterator[str]:
    """A tool's driver has a name and rules."""
    return (w for w, driver in _drivers(log) if _blank(driver.get("name")) or "rules" not in driver)


def gh2012(log: Log) -> Iterator[str]:
    """A rule has an id, both descriptions and a help text."""
    for where, rule in _descriptors(log):
        texts = [
            rule.get(n, {}).get("text") for n in ("shortDescription", "fullDescription", "help")
        ]
        if any(map(_blank, (rule.get("id"), *texts))):
            yield where


def github_documentation(log: Log) -> Iterator[str]:
    """What GitHub's page on SARIF requires or recommends beyond its rules: all of a region, limits,
    the severity.
    """
    for where, _, result in _results(log):
        for location in result["locations"]:
            region = location["physicalLocation"]["region"]
            if not {"startLine", "startColumn", "endLine", "endColumn"} <= set(region):
                yield where
    for where, rule in _descriptors(log):
        properties = rule.get("properties", {})
        severity = float(properties.get("security-severity", "0"))
        tags = properties.get("tags", [])
        if not (
            0 < severity <= 10
            and "security" in tags
            and len(tags) <= 20
            and len(set(tags)) == len(tags)
        ):
            yield where
        too_long = any(len(rule[n]["text"]) > 1024 for n in ("shortDescription", "fullDescription"))
        if too_long or len(rule.get("name", "")) > 255 or _blank(rule["help"].get("markdown")):
            yield where
    for i, run in enumerate(log["runs"]):
        if run.get("columnKind") not in ("utf16CodeUnits", "unicodeCodePoints"):
            yield f"/runs/{i}/columnKind"


RULES: dict[str, Callable[[Log], Iterator[str]]] = {
    f.__name__: f
    for f in (
        *(
            sarif1001,
            sarif1002,
            sarif1004,
            sarif1005,
            sarif1006,
            sarif1007,
            sarif1008,
            sarif1009,
            sarif1010,
        ),
        *(sarif1011, sarif1012, sarif2001, sarif2004, sarif2005, sarif2008, sarif2017),
        *(gh1001, gh1002, gh1003, gh1004, gh1005, gh1006, gh1007),
        *(gh1013, gh1014, gh1015, gh1016, gh1017, gh1018, gh2012, github_documentation),
    )
}


def violations(log: Log) -> list[tuple[str, str]]:
    """(rule, where) of all that is wrong with a log that its schema allows."""
    return [(name, where) for name, check in RULES.items() for where in check(log)]
