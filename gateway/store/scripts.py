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

APPEND = """
redis.call('RPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], -ARGV[2], -1)
return redis.call('PEXPIRE', KEYS[1], ARGV[3])
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
"""

_RULES = (
    _WORDS
    + """
local rules, at = {}, 3
for i = 1, #KEYS / 2 do
  local rule = {window = tonumber(ARGV[at]), sliding = ARGV[at + 1] == '1', restart = ARGV[at + 2] == '1',
    ends_with_lock = ARGV[at + 3] == '1', steps = {}}
  for step = 1, tonumber(ARGV[at + 4]) do
    rule.steps[step] = {reached = tonumber(ARGV[at + 3 + 2 * step]), seconds = tonumber(ARGV[at + 4 + 2 * step])}
  end
  rules[i], at = rule, at + 5 + 2 * #rule.steps
end
local function end_of(rule, till, number, ends_at)
  local seconds
  for _, step in ipairs(rule.steps) do
    if step.reached <= number then seconds = step.seconds end
  end
  if not seconds then return 0 end
  return rule.sliding and math.min(till, ends_at - rule.window + seconds) or till
end
local function held()
  local longest, index
  for i, rule in ipairs(rules) do
    local till, number, ends_at = in_force(KEYS[2 * i])
    till = till and end_of(rule, till, number, ends_at)
    if till and till > now and (not longest or till > longest) then longest, index = till, i - 1 end
  end
  if longest then return {'held', text(index), text(longest)} end
end
"""
)

RESERVE = (
    _RULES
    + """
local stopped = held()
if stopped then return stopped end
local answer = {'reserved'}
for i, rule in ipairs(rules) do
  local count, lock = KEYS[2 * i - 1], KEYS[2 * i]
  local number, ends_at = count_of(count)
  if not number or rule.sliding then ends_at = now + rule.window end
  number = (number or 0) + 1
  local seconds
  for _, step in ipairs(rule.steps) do
    if not seconds and step.reached == number then seconds = step.seconds end
  end
  local last = rule.steps[#rule.steps]
  if not seconds and last and number > last.reached then seconds = last.seconds end
  if seconds then
    keep(lock, text(now + seconds) .. ' ' .. text(number) .. ' ' .. text(ends_at), now + seconds)
  end
  if seconds and rule.ends_with_lock then
    ends_at = now + seconds
  elseif seconds and rule.sliding and seconds >= rule.window then
    ends_at = now + seconds + rule.window
  end
  if seconds and rule.restart then
    redis.call('DEL', count)
  else
    keep(count, text(number) .. ' ' .. text(ends_at), ends_at)
  end
  table.insert(answer, text(number))
end
return answer
"""
)

LOOK = (
    _RULES
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
    number, ends_at = led, math.min(ends_at or led_ends_at, led_ends_at)
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
