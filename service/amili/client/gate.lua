-- The gate's rules for all processes: what gate_rules.py and gate_state.py say, in one step of Redis.
--
-- KEYS[1]  the hash that remembers (its fields are those of gate_state.State)
-- ARGV[1]  JSON: rules, turn (see gate_words.py), and now: seconds, or absent for Redis's clock
-- Answers JSON: a Grant; given_at is text, for cjson writes 14 digits only.

local FULL, LARGEST, ROOM_SECONDS = -1, 1e12, 1
local asked = cjson.decode(ARGV[1])
local rules, turn, now = asked.rules, asked.turn, asked.now
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) + tonumber(time[2]) / 1000000
end

local NUMBERS = {'tokens', 'filled_at', 'shrunk_rate', 'shrunk_at', 'grow_from', 'told_until',
                 'second', 'calls', 'calls_before', 'failures', 'open_for', 'open_until',
                 'closed_at', 'probe_until'}
local MOMENTS = {'shrunk_at', 'grow_from', 'told_until', 'open_until', 'closed_at', 'probe_until'}

local function number_of(said, void)
  local number = type(said) == 'number' and said or tonumber(said or '')
  if number and number >= 0 and number <= LARGEST then return number end
  return void
end

local function refused_of(said)
  local is_json, found = pcall(cjson.decode, said or '{}')
  local kept = {}
  for about, at in pairs(is_json and type(found) == 'table' and found or {}) do
    if type(about) == 'string' and type(at) == 'number' then kept[about] = number_of(at) end
  end
  return kept
end

local found = redis.call('HMGET', KEYS[1], 'probe', 'refused', unpack(NUMBERS))
local state = {probe = found[1] or '', refused = refused_of(found[2])}
for i, name in ipairs(NUMBERS) do
  state[name] = number_of(found[i + 2], name == 'tokens' and FULL or 0)
end

-- what cannot be

local function bound()
  state.shrunk_at, state.closed_at = math.min(state.shrunk_at, now), math.min(state.closed_at, now)
  state.open_for = math.min(state.open_for, rules.longest_open_seconds)
  local latest = now + ROOM_SECONDS
  if state.told_until > latest + rules.longest_told_seconds then state.told_until = 0 end
  if state.grow_from > latest + rules.longest_told_seconds then state.grow_from = now end
  if state.open_until > latest + rules.longest_open_seconds then state.open_until = 0 end
  if state.probe_until > latest + rules.probe_seconds then state.probe_until = 0 end
end

local function mend()
  local back = math.max(0, state.filled_at - now)
  for _, name in ipairs(MOMENTS) do state[name] = state[name] - back end
  for about, at in pairs(state.refused) do
    state.refused[about] = math.min(math.floor(at - back), math.floor(now))
  end
  bound()
end

-- the rate

local function rate_now()
  if state.shrunk_rate == 0 then return rules.limit end
  local since = math.max(0, now - state.grow_from)
  local step = rules.limit > 0 and rules.limit / rules.grow_seconds or 1
  local grown = state.shrunk_rate + step * since
  local over
  if rules.limit > 0 then over = grown >= rules.limit else over = since >= rules.quiet_seconds end
  if over then
    state.shrunk_rate = 0
    return rules.limit
  end
  return grown
end

local function size(rate)
  return math.max(rules.least_burst, rate * rules.burst_seconds)
end

local function fill(rate)
  if rate == 0 then
    state.tokens = FULL
  elseif state.tokens == FULL then
    state.tokens = size(rate)
  else
    local grown = state.tokens + rate * math.max(0, now - state.filled_at) + turn.returned
    state.tokens = math.min(size(rate), grown)
  end
  state.filled_at = now
end

local function count(calls)
  local second = math.floor(now)
  if second ~= state.second then
    state.calls_before = second == state.second + 1 and state.calls or 0
    state.second, state.calls = second, 0
  end
  state.calls = state.calls + calls
end

local function shrink()
  local rate = rate_now()
  if rate == 0 then
    rate = state.calls + state.calls_before * (math.floor(now) + 1 - now)
  end
  local least = rules.limit > 0 and math.min(1, rules.limit) or 1
  state.shrunk_rate = math.max(least, rate / 2)
  state.shrunk_at, state.grow_from = now, now
  local kept = size(state.shrunk_rate) * rules.reserve * 4
  state.tokens = state.tokens == FULL and kept or math.min(state.tokens, kept)
  state.filled_at = now
end

-- what calls showed

local function forget_probe()
  state.probe, state.probe_until = '', 0
end

local function hear_failure(is_news)
  if state.open_for > 0 then
    local longer = is_news and 2 * state.open_for or state.open_for
    state.open_for = math.min(longer, rules.longest_open_seconds)
  else
    state.failures = state.failures + 1
    if state.failures < rules.failures then return end
    state.open_for = rules.open_seconds
  end
  state.open_until = now + state.open_for * (0.75 + 0.25 * turn.chance)
  forget_probe()
end

local function is_new(about)
  if about == '' then return true end
  local before = state.refused[about]
  state.refused[about] = math.floor(now)
  local many, oldest = 0, nil
  for one, at in pairs(state.refused) do
    many = many + 1
    local first = oldest and state.refused[oldest]
    if not oldest or at < first or (at == first and one < oldest) then oldest = one end
  end
  if many > rules.repeats then state.refused[oldest] = nil end
  return not before or now - before > rules.repeat_seconds
end

local function hear(told)
  local is_news = is_new(told.about)
  if told.verdict == 'throttled' and is_news and told.given_at >= state.shrunk_at then
    shrink()
  end
  if told.wait > 0 and is_news then
    local wait = math.min(told.wait, rules.longest_told_seconds)
    state.told_until = math.max(state.told_until, now + wait)
    state.grow_from = math.max(state.grow_from, state.told_until)
  end
  local is_probe = state.open_for > 0 and told.probe ~= '' and told.probe == state.probe
  if told.verdict == 'failed' then
    local counts = is_news and told.given_at >= state.closed_at
    if is_probe or (state.open_for == 0 and counts) then hear_failure(is_news) end
  elseif told.verdict == 'untried' or told.verdict == 'given_up' then
    if is_probe then forget_probe() end
  elseif is_probe then
    state.open_for, state.failures, state.closed_at = 0, 0, now
    forget_probe()
  elseif state.open_for == 0 then
    state.failures = 0
  end
end

-- what is given

local grant = {given = {}, wait = 0, told_left = 0, open_left = 0, is_probe = false, free = 0,
               opened = false, closed = false}

local function give_probe()
  if state.open_until > now then
    grant.open_left = state.open_until - now
    return
  end
  for _, rank in ipairs(rules.probe_ranks) do
    if turn.wants[rank + 1] > 0 and state.probe_until <= now then
      grant.given[rank + 1], grant.is_probe = 1, true
      state.probe, state.probe_until = turn.probe, now + rules.probe_seconds
      if state.tokens ~= FULL then state.tokens = math.max(0, state.tokens - 1) end
    end
  end
  grant.open_left = math.min(math.max(0, state.probe_until - now), rules.retry_seconds)
end

local function give_from_bucket(rate)
  for rank, want in ipairs(turn.wants) do
    local kept = rules.reserve * (rank - 1) * size(rate)
    local some = math.max(0, math.min(want, math.floor(state.tokens - kept)))
    state.tokens = state.tokens - some
    grant.given[rank] = some
    if some < want and grant.wait == 0 then
      grant.wait = math.max(0, kept + 1 - state.tokens) / rate
    end
  end
end

local function give(rate)
  for rank in ipairs(turn.wants) do grant.given[rank] = 0 end
  if state.told_until > now then return end
  if state.open_for > 0 then
    give_probe()
  elseif rate == 0 then
    grant.given = turn.wants
    if state.failures == 0 then grant.free = rules.free_seconds end
  else
    give_from_bucket(rate)
  end
end

-- the turn

mend()
local was_open = state.open_for > 0
count(turn.used)
for _, told in ipairs(turn.told) do
  told.given_at = math.min(told.given_at, now)
  hear(told)
  local is_open = state.open_for > 0
  grant.opened = grant.opened or (is_open and not was_open)
  grant.closed = grant.closed or (was_open and not is_open)
  was_open = is_open
end
local rate = rate_now()
fill(rate)
give(rate)
local total = 0
for _, some in ipairs(grant.given) do total = total + some end
count(total)

local fields = {'probe', state.probe, 'refused', cjson.encode(state.refused), 'rate', string.format('%.6f', rate)}
for _, name in ipairs(NUMBERS) do
  fields[#fields + 1] = name
  fields[#fields + 1] = string.format('%.17g', state[name])
end
redis.call('HSET', KEYS[1], unpack(fields))
redis.call('EXPIRE', KEYS[1], 7200)

grant.told_left = math.max(0, state.told_until - now)
grant.is_failing = state.failures > 0
grant.given_at = string.format('%.17g', now)
return cjson.encode(grant)
