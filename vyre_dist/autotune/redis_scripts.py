"""Names of keys in Redis, and the Lua scripts that change more than one thing at once.

Commands are those of Redis 6.2 (also Valkey's). The braces put all keys of one schema into one hash
slot, so that a script may touch them together on a cluster.
"""

from __future__ import annotations

import re

from vyre_dist.autotune.codec import MAX_RECORD_BYTES
from vyre_dist.autotune.record import Place, check_workload
from vyre_dist.autotune.signing import SEAL_BYTES
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.errors import UsageError

# The version of this layout; what schema a record has is said in the record.
PREFIX = "{vyre-dist:autotune:2}"
REVISION_KEY = f"{PREFIX}:revision"
CHANNEL = f"{PREFIX}:changes"
RECORD_PREFIX = f"{PREFIX}:record:"
# with its signature
_MOST = MAX_RECORD_BYTES + SEAL_BYTES


def record_key(place: Place) -> str:
    key = place.key
    # the adapter's id may hold colons
    return f"{RECORD_PREFIX}{key.key_hex}:{place.workload}:{place.failed}:{key.adapter_id}"


def parse_record_key(name: bytes) -> Place | None:
    """The place that `record_key` turned into `name`; None for any other name."""
    try:
        text = name.decode()
        if not text.startswith(RECORD_PREFIX):
            return None
        key_hex, workload, failed, adapter_id = text[len(RECORD_PREFIX) :].split(":", 3)
        if not re.fullmatch("([0-9a-f]{16})?", failed):
            return None
        return Place(AutotuneKey(key_hex, adapter_id), check_workload(workload), failed)
    except (ValueError, UsageError):
        return None


def lease_key(name: str) -> str:
    return f"{PREFIX}:lease:{name}"


def fence_key(name: str) -> str:
    return f"{PREFIX}:fence:{name}"


# Reads records without moving an oversized or ill-typed value: those come back as 1, missing ones
# as nil. One that is near its end lives on, as it is used; where that can't be written, it is read
# all the same. KEYS: record keys. ARGV: milliseconds that a record lives from its last use on, and
# what must be left of them that it is not written again ('0' for none: nobody uses it).
FETCH = f"""
local found = {{}}
for i, key in ipairs(KEYS) do
    local size = redis.pcall('STRLEN', key)
    if type(size) ~= 'number' or size > {_MOST} then
        found[i] = 1
    else
        found[i] = redis.call('GET', key)
        if found[i] and redis.call('PTTL', key) < tonumber(ARGV[2]) then
            redis.pcall('PEXPIRE', key, ARGV[1])
        end
    end
end
return found
"""

# Which record is the better one is decided by the client, who can check what is held; the server
# makes sure that it decided over what is still held, in one step. What can fail (no memory, no
# rights) is the first thing that writes, and replaces whatever stands there: so a record is never
# lost, and one that is held is said to be. The revision and the message tell the other workers; a
# revision that can't be raised does not keep records out. KEYS: record, revision, fence. ARGV:
# payload, SHA-1 of the payload that it replaces ('' for none or what is not a payload), fencing
# token ('' for none), channel, milliseconds until it expires. Returns 1 (held), 2 (the lease is no
# longer the newest), or what is held instead.
PUT = f"""
if ARGV[3] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[3] then
    return 2
end
local size = redis.pcall('STRLEN', KEYS[1])
if type(size) == 'number' and size > 0 and size <= {_MOST} then
    local held = redis.call('GET', KEYS[1])
    if held == ARGV[1] then
        return 1
    end
    if redis.sha1hex(held) ~= ARGV[2] then
        return held
    end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[5])
local revision = redis.pcall('INCR', KEYS[2])
if type(revision) ~= 'number' then
    revision = 1
    redis.pcall('SET', KEYS[2], revision)
end
redis.pcall('PUBLISH', ARGV[4], string.format('%d', revision) .. ' ' .. KEYS[1])
return 1
"""

# The others hear of it, and find nothing. KEYS: revision, records. ARGV: channel. Returns how many
# there were.
REMOVE = """
local revision = redis.call('INCR', KEYS[1])
local removed = 0
for i = 2, #KEYS do
    if redis.call('DEL', KEYS[i]) == 1 then
        removed = removed + 1
        redis.pcall('PUBLISH', ARGV[1], string.format('%d', revision) .. ' ' .. KEYS[i])
    end
end
return removed
"""

# The fence names this run of the server, and its counter grows with every grant and is at least the
# server's clock: one that a fail-over forgot is never granted again. A write can so be refused to a
# holder whose lease has passed to another. The same owner asking again gets its fence again: the
# reply to its first request may have been lost. A server that does not tell its run's id gets the
# owner's, which is as good. KEYS: lease, fence. ARGV: owner, milliseconds of the lease, and of
# the fence, which may go then: the clock alone tells the next one from it. Returns the fence, or 0
# when another holds the lease.
LEASE_ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held then
    local owner, token = string.match(held, '^(%x+):(%x+:%d+)$')
    if owner ~= ARGV[1] then
        return 0
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return token
end
local before = redis.pcall('GET', KEYS[2])
local counter = type(before) == 'string' and string.match(before, '^%x+:(%d+)$') or 0
local time = redis.call('TIME')
counter = math.max(tonumber(counter) + 1, time[1] * 1000 + math.floor(time[2] / 1000))
local info = redis.pcall('INFO', 'server')
local run_id = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ARGV[1]
local token = run_id .. ':' .. string.format('%d', counter)
redis.call('SET', KEYS[2], token, 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. token, 'PX', ARGV[2])
return token
"""

# KEYS: lease. ARGV: what the holder wrote there, milliseconds. Returns 1 if the lease is still the
# holder's.
LEASE_RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

# KEYS: lease. ARGV: what the holder wrote there. Returns 1 if the lease was still the holder's.
LEASE_RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 0
end
return redis.call('DEL', KEYS[1])
"""
