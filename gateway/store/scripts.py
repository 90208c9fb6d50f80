"""Lua scripts for verbs that Redis must run in one step, so that no other replica writes between read and write.

The scripts run on Redis 7.0 and on Valkey. The arithmetic is exactly that of `counters`. Numbers are sent as text with
17 digits, so that no fraction of a second is lost. A count is stored as `number ends_at`, a lock as
`until number ends_at`.
"""

SWAP = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""

DELETE_IF = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

_WORDS = """
local now, margin = tonumber(ARGV[1]), tonumber(ARGV[2])
local function text(number) return string.format('%.17g', number) end
local function count_of(key)
  local kept = redis.call('GET', key)
  if not kept then return nil end
  local number, ends_at = kept:match('^(%S+) (%S+)$')
  if tonumber(ends_at) > now then return tonumber(number), tonumber(ends_at) end
end
local function in_force(key)
  local kept = redis.call('GET', key)
  if not kept then return nil end
  local till, number, ends_at = kept:match('^(%S+) (%S+) (%S+)$')
  if tonumber(till) > now then return tonumber(till), tonumber(number), tonumber(ends_at) end
end
local function keep(key, value, ends_at)
  redis.call('SET', key, value, 'PX', string.format('%.0f', math.ceil(math.max(ends_at - now + margin, 1) * 1000)))
end
local function held()
  local longest, index
  for i = 2, #KEYS, 2 do
    local till = in_force(KEYS[i])
    if till and (not longest or till > longest) then longest, index = till, i / 2 - 1 end
  end
  if longest then return {'held', text(index), text(longest)} end
end
"""

RESERVE = (
    _WORDS
    + """
local stopped = held()
if stopped then return stopped end
local answer, at = {'reserved'}, 3
for i = 1, #KEYS, 2 do
  local window, sliding, restart = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local steps = tonumber(ARGV[at + 3])
  at = at + 4
  local number, ends_at = count_of(KEYS[i])
  if not number or sliding == '1' then ends_at = now + window end
  number = (number or 0) + 1
  local seconds, reached, last
  for step = 1, steps do
    reached, last = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    at = at + 2
    if not seconds and reached == number then seconds = last end
  end
  if not seconds and reached and number > reached then seconds = last end
  if seconds then
    keep(KEYS[i + 1], text(now + seconds) .. ' ' .. text(number) .. ' ' .. text(ends_at), now + seconds)
  end
  if seconds and sliding == '1' and seconds >= window then ends_at = now + seconds + window end
  if seconds and restart == '1' then
    redis.call('DEL', KEYS[i])
  else
    keep(KEYS[i], text(number) .. ' ' .. text(ends_at), ends_at)
  end
  table.insert(answer, text(number))
end
return answer
"""
)

LOOK = (
    _WORDS
    + """
local stopped = held()
if stopped then return stopped end
local answer = {'reserved'}
for i = 1, #KEYS, 2 do
  local number = count_of(KEYS[i])
  table.insert(answer, text(number or 0))
end
return answer
"""
)

GIVE_BACK = (
    _WORDS
    + """
for i = 1, #KEYS, 2 do
  local number, ends_at = count_of(KEYS[i])
  local till, led, led_ends_at = in_force(KEYS[i + 1])
  if till and (not number or number == led) then
    number, ends_at = led, led_ends_at
    redis.call('DEL', KEYS[i + 1])
  end
  if not number or number <= 1 or ends_at <= now then
    redis.call('DEL', KEYS[i])
  else
    keep(KEYS[i], text(number - 1) .. ' ' .. text(ends_at), ends_at)
  end
end
return 1
"""
)
