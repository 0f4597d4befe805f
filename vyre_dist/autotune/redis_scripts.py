"""Names of keys in Redis, and the Lua scripts that change more than one thing at once.

Commands are those of Redis 6.2 (also Valkey's). The braces put all keys of one schema into one hash
slot, so that a script may touch them together on a cluster.
"""

from __future__ import annotations

from vyre_dist.autotune.codec import MAX_RECORD_BYTES, SCHEMA_VERSION
from vyre_dist.dispatch.keys import AutotuneKey
from vyre_dist.errors import UsageError

PREFIX = f"{{vyre-dist:autotune:{SCHEMA_VERSION}}}"
REVISION_KEY = f"{PREFIX}:revision"
CHANNEL = f"{PREFIX}:changes"
RECORD_PREFIX = f"{PREFIX}:record:"


def record_key(key: AutotuneKey) -> str:
    return f"{RECORD_PREFIX}{key.key_hex}:{key.adapter_id}"


def parse_record_key(name: bytes) -> AutotuneKey | None:
    """The key that `record_key` turned into `name`; None for any other name."""
    try:
        text = name.decode()
        if not text.startswith(RECORD_PREFIX):
            return None
        key_hex, _, adapter_id = text[len(RECORD_PREFIX) :].partition(":")
        return AutotuneKey(key_hex, adapter_id)
    except (UnicodeDecodeError, UsageError):
        return None


def lease_key(name: str) -> str:
    return f"{PREFIX}:lease:{name}"


def fence_key(name: str) -> str:
    return f"{PREFIX}:fence:{name}"


# Reads records without moving an oversized or ill-typed value: those come back as 1, missing ones
# as nil. KEYS: record keys.
FETCH = f"""
local found = {{}}
for i, key in ipairs(KEYS) do
    local size = redis.pcall('HSTRLEN', key, 'payload')
    if type(size) ~= 'number' or size > {MAX_RECORD_BYTES} then
        found[i] = 1
    elseif size == 0 then
        found[i] = redis.call('EXISTS', key) == 1 and 1 or false
    else
        found[i] = redis.call('HGET', key, 'payload')
    end
end
return found
"""

# Better wins, in one step: two workers that offer at the same time cannot both believe that they
# won. The cost is 20 decimal digits, so that it compares as text: Lua's numbers are doubles and
# lose a u64's end. An incumbent that the client found invalid is named by its hash and then counts
# as absent; so does one of another spec, or of a type that is not ours. The revision and the
# message tell the other workers. KEYS: record, revision, fence. ARGV: payload, cost, spec ('' for
# none), SHA-1 of the invalid incumbent, fencing token ('' for none), channel, the record's key as
# the message names it. Returns 1 (held), 2 (the lease is no longer the newest), or the incumbent's
# payload (it stays).
PUT = f"""
if ARGV[5] ~= '' and redis.call('GET', KEYS[3]) ~= ARGV[5] then
    return 2
end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'hash' and redis.call('HSTRLEN', KEYS[1], 'payload') <= {MAX_RECORD_BYTES} then
    local held = redis.call('HMGET', KEYS[1], 'payload', 'cost', 'spec')
    if held[1] and redis.sha1hex(held[1]) ~= ARGV[4] then
        if held[1] == ARGV[1] then
            return 1
        end
        local comparable = held[2] and string.match(held[2], '^%d+$') and #held[2] == #ARGV[2]
        if ARGV[3] == '' or (held[3] == ARGV[3] and comparable and held[2] <= ARGV[2]) then
            return held[1]
        end
    end
end
if redis.call('TYPE', KEYS[2]).ok ~= 'string' then
    redis.call('DEL', KEYS[2])
end
local revision = redis.call('INCR', KEYS[2])
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'payload', ARGV[1], 'cost', ARGV[2], 'spec', ARGV[3])
redis.call('PUBLISH', ARGV[6], revision .. ' ' .. ARGV[7])
return 1
"""

# The token grows with every grant, so a write can be refused to a holder whose lease has passed to
# another. The same owner asking again gets its token again: the reply to its first request may have
# been lost. KEYS: lease, fence. ARGV: owner, milliseconds. Returns the token, or 0 when another
# holds the lease.
LEASE_ACQUIRE = """
local held = redis.call('GET', KEYS[1])
if held then
    local owner, token = string.match(held, '^(%x+):(%d+)$')
    if owner ~= ARGV[1] then
        return 0
    end
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
    return tonumber(token)
end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], ARGV[1] .. ':' .. string.format('%d', token), 'NX', 'PX', ARGV[2])
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
